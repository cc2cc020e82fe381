package event

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// logicalTypes reads the values that mean nothing without their schema, by the
// schema's name. Kafka Connect and Debezium document the names and encodings.
// Other types, such as io.debezium.time.ZonedTimestamp, are readable as they are.
var logicalTypes = map[string]func(raw []byte, s *schema) (any, bool){
	"org.apache.kafka.connect.data.Decimal": func(raw []byte, s *schema) (any, bool) {
		return decimal(raw, s.Parameters["scale"])
	},
	"io.debezium.data.VariableScaleDecimal": func(raw []byte, _ *schema) (any, bool) {
		o, ok := parseObject(raw)
		if !ok || !o.has("value") {
			return nil, false
		}
		return decimal(o.get("value"), string(o.get("scale")))
	},
	"org.apache.kafka.connect.data.Date":      date,
	"org.apache.kafka.connect.data.Time":      timeOfDay(time.Millisecond),
	"org.apache.kafka.connect.data.Timestamp": timestamp(time.UnixMilli),
	"io.debezium.time.Date":                   date,
	"io.debezium.time.Time":                   timeOfDay(time.Millisecond),
	"io.debezium.time.MicroTime":              timeOfDay(time.Microsecond),
	"io.debezium.time.NanoTime":               timeOfDay(time.Nanosecond),
	"io.debezium.time.Timestamp":              timestamp(time.UnixMilli),
	"io.debezium.time.MicroTimestamp":         timestamp(time.UnixMicro),
	"io.debezium.time.NanoTimestamp":          timestamp(func(n int64) time.Time { return time.Unix(0, n) }),
}

// maxDecimal bounds the bytes and the scale of a decimal. Postgres, the most
// generous, needs 62,000 bytes and a scale of 16,383; without a bound a few
// bytes could ask for two billion zeros.
const maxDecimal = 1 << 16

// decimal reads a base64 big-endian two's complement integer as a number with
// as many decimals as the scale says. decimal.format=NUMERIC gives a number.
func decimal(raw []byte, scale string) (any, bool) {
	if c := raw[0]; c == '-' || c >= '0' && c <= '9' {
		return json.Number(raw), true
	}
	digits, err := strconv.Atoi(scale)
	if err != nil || digits > maxDecimal || digits < -maxDecimal {
		return nil, false
	}
	if raw[0] != '"' || len(raw) > 2*maxDecimal {
		return nil, false
	}
	b, err := base64.StdEncoding.DecodeString(text(raw))
	if err != nil || len(b) == 0 || len(b) > maxDecimal {
		return nil, false
	}
	n := new(big.Int).SetBytes(b)
	if b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return json.Number(point(n, digits)), true
}

// point writes n with the given number of decimals.
func point(n *big.Int, decimals int) string {
	if n.Sign() == 0 && decimals < 0 {
		return "0"
	}
	s, sign := n.String(), ""
	if n.Sign() < 0 {
		s, sign = s[1:], "-"
	}
	if decimals <= 0 {
		return sign + s + strings.Repeat("0", -decimals)
	}
	if missing := decimals + 1 - len(s); missing > 0 {
		s = strings.Repeat("0", missing) + s
	}
	return sign + s[:len(s)-decimals] + "." + s[len(s)-decimals:]
}

// date reads days since 1970.
func date(raw []byte, _ *schema) (any, bool) {
	n, err := strconv.ParseInt(string(raw), 10, 32)
	if err != nil {
		return nil, false
	}
	t := time.Unix(n*24*60*60, 0).UTC()
	if !plausible(t) {
		return n, true
	}
	return t.Format(time.DateOnly), true
}

// timestamp reads an instant, or a time without zone, which Debezium encodes as
// if it were UTC.
func timestamp(at func(int64) time.Time) func([]byte, *schema) (any, bool) {
	return func(raw []byte, _ *schema) (any, bool) {
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			return nil, false
		}
		t := at(n).UTC()
		if !plausible(t) {
			return n, true
		}
		return t.Format(time.RFC3339Nano), true
	}
}

// plausible reports whether t has a form in ISO 8601. Postgres' infinity and
// dates before Christ have none, and stay the number they came as.
func plausible(t time.Time) bool { return t.Year() >= 0 && t.Year() <= 9999 }

// timeOfDay reads a time since midnight. MySQL's TIME may also be negative, or
// longer than a day.
func timeOfDay(unit time.Duration) func([]byte, *schema) (any, bool) {
	return func(raw []byte, _ *schema) (any, bool) {
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			return nil, false
		}
		sign := ""
		if n < 0 {
			sign, n = "-", -max(n, -math.MaxInt64)
		}
		perSecond := int64(time.Second / unit)
		seconds, rest := n/perSecond, n%perSecond
		s := fmt.Sprintf("%s%02d:%02d:%02d", sign, seconds/3600, seconds/60%60, seconds%60)
		if rest != 0 {
			s += strings.TrimRight(fmt.Sprintf(".%09d", rest*int64(unit)), "0")
		}
		return s, true
	}
}
