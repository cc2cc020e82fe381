package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Access is something that User may be denied.
type Access struct {
	Resource  kmsg.ACLResourceType
	Name      string
	Operation kmsg.ACLOperation
}

// Grant lets User do everything with every topic and group.
func (c *Client) Grant(ctx context.Context) error {
	for _, kind := range []kmsg.ACLResourceType{kmsg.ACLResourceTypeTopic, kmsg.ACLResourceTypeGroup} {
		if err := c.rule(ctx, Access{kind, "*", kmsg.ACLOperationAll}, kmsg.ACLPermissionTypeAllow); err != nil {
			return err
		}
	}
	return nil
}

// Deny takes one thing away from User, whatever was granted.
func (c *Client) Deny(ctx context.Context, a Access) error {
	return c.rule(ctx, a, kmsg.ACLPermissionTypeDeny)
}

func (c *Client) rule(ctx context.Context, a Access, permission kmsg.ACLPermissionType) error {
	r := kmsg.NewCreateACLsRequestCreation()
	r.ResourceType, r.ResourceName, r.ResourcePatternType = a.Resource, a.Name, kmsg.ACLResourcePatternTypeLiteral
	r.Principal, r.Host = "User:"+User, "*"
	r.Operation, r.PermissionType = a.Operation, permission
	req := kmsg.NewPtrCreateACLsRequest()
	req.Creations = append(req.Creations, r)
	resp, err := req.RequestWith(ctx, c.kafka)
	if err != nil {
		return fmt.Errorf("access rule for %s: %w", a.Name, err)
	}
	if err := kerr.ErrorForCode(resp.Results[0].ErrorCode); err != nil {
		return fmt.Errorf("access rule for %s: %w", a.Name, err)
	}
	return nil
}

// Return gives back what Deny took away.
func (c *Client) Return(ctx context.Context, a Access) error {
	principal, host := "User:"+User, "*"
	f := kmsg.NewDeleteACLsRequestFilter()
	f.ResourceType, f.ResourceName, f.ResourcePatternType = a.Resource, &a.Name, kmsg.ACLResourcePatternTypeLiteral
	f.Principal, f.Host = &principal, &host
	f.Operation, f.PermissionType = a.Operation, kmsg.ACLPermissionTypeDeny
	req := kmsg.NewPtrDeleteACLsRequest()
	req.Filters = append(req.Filters, f)
	resp, err := req.RequestWith(ctx, c.kafka)
	if err != nil {
		return fmt.Errorf("return access to %s: %w", a.Name, err)
	}
	if err := kerr.ErrorForCode(resp.Results[0].ErrorCode); err != nil {
		return fmt.Errorf("return access to %s: %w", a.Name, err)
	}
	if len(resp.Results[0].MatchingACLs) == 0 {
		return fmt.Errorf("return access to %s: it was not denied", a.Name)
	}
	return nil
}
