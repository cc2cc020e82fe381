package taptalk

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	usync "usersync/sync"
)

// envelope is TapTalk's reply.
type envelope struct {
	Status text `json:"status"`
	Error  struct {
		Code  text `json:"code"`
		Field text `json:"field"`
	} `json:"error"`
	Data struct {
		UserID text `json:"userID"`
	} `json:"data"`
}

// text is a JSON string or number, as it is written, and "" for anything else. It is read
// so leniently because what counts is documented as one and might arrive as the other.
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(b []byte) error {
	*t = ""
	switch c := b[0]; {
	case c == '"' && bytes.IndexByte(b, '\\') < 0: // nothing is escaped, as nearly always
		*t = text(b[1 : len(b)-1])
	case c == '"':
		return json.Unmarshal(b, (*string)(t))
	case c == '-' || c >= '0' && c <= '9':
		*t = text(b)
	}
	return nil
}

// parse reads body; known is false if it is not TapTalk's envelope.
func parse(body []byte) (e envelope, known bool) {
	if json.Unmarshal(body, &e) != nil {
		return envelope{}, false
	}
	return e, e.Status != "" || e.Error.Code != ""
}

// classify turns a reply into nil, for OK, or the error that says what it means.
//
// TapTalk's other products document errors under HTTP 200, with the status and
// the code in the body; for the user update nobody says. So the code decides, if
// there is one, else the body's status, else HTTP's, and OK needs all three. An
// error code is five digits, and the first three are a status.
func classify(r *usync.Reply) *usync.CallError {
	e, known := parse(r.Body)
	status, _ := strconv.Atoi(string(e.Status))
	code := string(e.Error.Code)
	ofCode := codeStatus(code)
	switch {
	case r.Status == http.StatusTooManyRequests:
		return r.Fault(usync.Failed, r.Status)
	case ofCode != 0:
		f := r.Fault(verdict(ofCode, true), ofCode)
		f.Code = bounded(code, ofCode)
		if code == headersRequired {
			f.Verdict = usync.Refused
		}
		if code == paramInvalid {
			f.Field = fieldNames[string(e.Error.Field)]
		}
		return f
	case status != 0 && !success(status):
		return r.Fault(verdict(status, true), status)
	case !success(r.Status):
		return r.Fault(verdict(r.Status, known), r.Status)
	}
	// A proxy's page, or an API that has changed. Whether the user was saved is
	// anybody's guess.
	var drift string
	switch {
	case !known:
		drift = "not_an_envelope"
	case code != "":
		drift = "unknown_code"
	case status == 0:
		drift = "no_status"
	case e.Data.UserID == "":
		drift = "no_user_id"
	default:
		return nil
	}
	return &usync.CallError{Verdict: usync.Failed, Code: drift, Ambiguous: true}
}

func success(status int) bool { return status >= 200 && status < 300 }

// verdict judges a status. known says that the reply came from TapTalk and not
// from something on the way, or at another address.
func verdict(status int, known bool) usync.Verdict {
	switch {
	case usync.Transient(status):
		return usync.Failed
	case status == 401, status == 403, status == 491, status == 492: // TapTalk's SDKs know 491 and 492: the server key, the app
		return usync.Refused
	case status >= 300 && status < 400:
		return usync.Refused
	case (status == 404 || status == 405) && !known:
		return usync.Refused
	case status >= 400 && status < 500, status == otherError:
		return usync.Rejected
	default:
		return usync.Failed
	}
}

// Codes that need a word of their own.
const (
	headersRequired = "40001" // "Request headers are required (Server-Key)": the caller's fault, though it is a 400
	paramInvalid    = "40002" // a parameter is missing or wrong; the field's number says which
	otherError      = 999     // 99999, "other" in the SDKs
)

// codeStatus returns the status that the first three digits of an error code are,
// or 0 if it is no code that says anything.
func codeStatus(code string) int {
	if len(code) != 5 {
		return 0
	}
	n, err := strconv.Atoi(code)
	if status := n / 100; err == nil && (status >= 400 && status < 600 || status == otherError) {
		return status
	}
	return 0
}

// bounded returns code if TapTalk documents it, and its family otherwise: five
// digits could also be a piece of somebody's phone number.
func bounded(code string, status int) string {
	if documented[code] {
		return code
	}
	return strconv.Itoa(status) + "xx"
}

var documented = map[string]bool{
	headersRequired: true, paramInvalid: true,
	"40101": true, "40102": true, "40103": true, "40104": true, "40105": true, "40106": true,
	"40301": true, "40401": true,
	"49101": true, "49102": true, "49103": true, "49104": true, "49106": true,
	"49201": true, "49202": true, "49203": true,
	"50001": true, "99999": true,
}

// fieldNames are the field numbers of the user update.
var fieldNames = map[string]string{
	"105": "xcUserID",
	"106": "fullName",
	"107": "email",
	"108": "phone",
	"109": "username",
	"110": "photoThumbnailURL",
	"111": "photoFullsizeURL",
	"112": "userRoleCode",
}
