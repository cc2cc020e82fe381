package consumer

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// expire does what a broker does and kfake does not, until the function it returns
// is called. It ends
//   - the sessions of members that died between the answers to their join and sync
//     requests: kfake starts a session's clock when it has written such an answer,
//     which it cannot to a connection that is gone;
//   - a rebalance that takes longer than its timeout: kfake starts that clock anew
//     with every join, so members whose joins time out one after the other, each at
//     a time of its own, keep one another waiting for ever.
func (b *bubble) expire() (stop func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		joining := map[string]bool{} // at the last look, a rebalance timeout ago
		for sleep(ctx, time.Minute) {
			for _, d := range []string{destTaptalk, destHaptik} {
				joining[d] = b.expireGroup(ctx, d, joining[d])
			}
		}
	}()
	return func() { cancel(); <-done }
}

// expireGroup reports whether members are waited for.
func (b *bubble) expireGroup(ctx context.Context, dest string, before bool) (joining bool) {
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = []string{"usersync." + dest}
	res, err := describe.RequestWith(ctx, b.out)
	if err != nil {
		return false
	}
	joining = res.Groups[0].State == "PreparingRebalance"
	if res.Groups[0].State != "Stable" && (!joining || !before) {
		return joining
	}
	for _, m := range res.Groups[0].Members {
		if !joining && b.ledger.Joined(dest, m.MemberID) {
			continue
		}
		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Group = describe.Groups[0]
		leave.Members = []kmsg.LeaveGroupRequestMember{{MemberID: m.MemberID}}
		leave.MemberID = m.MemberID
		_, _ = leave.RequestWith(ctx, b.out) // tried again in a minute
	}
	return joining
}
