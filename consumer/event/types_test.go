package event

import (
	"encoding/base64"
	"encoding/json"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTypes(t *testing.T) {
	const connect, debezium = "org.apache.kafka.connect.data.", "io.debezium.time."
	tests := []struct {
		logical, raw string
		want         any
	}{
		{debezium + "Date", "20487", "2026-02-03"},
		{debezium + "Date", "-1", "1969-12-31"},
		{debezium + "Date", "2147483647", int64(2147483647)}, // Postgres' infinity
		{connect + "Date", "0", "1970-01-01"},
		{debezium + "Timestamp", "1770091506789", "2026-02-03T04:05:06.789Z"},
		{debezium + "MicroTimestamp", "1770091506789001", "2026-02-03T04:05:06.789001Z"},
		{debezium + "MicroTimestamp", "1770091506000000", "2026-02-03T04:05:06Z"},
		{debezium + "MicroTimestamp", "9223372036825200000", int64(9223372036825200000)},
		{debezium + "NanoTimestamp", "1770091506789000001", "2026-02-03T04:05:06.789000001Z"},
		{debezium + "NanoTimestamp", "-1", "1969-12-31T23:59:59.999999999Z"},
		{connect + "Timestamp", "1770091506789", "2026-02-03T04:05:06.789Z"},
		{debezium + "Time", "14706000", "04:05:06"},
		{debezium + "MicroTime", "14706000001", "04:05:06.000001"},
		{debezium + "NanoTime", "1", "00:00:00.000000001"},
		{debezium + "MicroTime", "-3020399000000", "-838:59:59"}, // MySQL's smallest TIME
		{connect + "Time", "500", "00:00:00.5"},
		{debezium + "ZonedTimestamp", `"2026-02-03T02:05:06.789000Z"`, "2026-02-03T02:05:06.789000Z"},
		{"io.debezium.data.Json", `"{\"a\": 1}"`, `{"a": 1}`},
		{connect + "Decimal", `"BNI="`, json.Number("12.34")},
		{connect + "Decimal", `"AA=="`, json.Number("0.00")},
		{connect + "Decimal", `"/w=="`, json.Number("-0.01")},
		{connect + "Decimal", `12.30`, json.Number("12.30")},
		{connect + "Decimal", "null", nil},
		{"io.debezium.data.VariableScaleDecimal", `{"scale":1,"value":"BrFOn4EvNmw5"}`, json.Number("12345678901234567890.5")},
		{"io.debezium.data.VariableScaleDecimal", `{"scale":-3,"value":"Bw=="}`, json.Number("7000")},
		{"", "7", int64(7)},
		{"", "-9223372036854775808", int64(-9223372036854775808)},
		{"", "18446744073709551615", uint64(18446744073709551615)},
		{"", "18446744073709551616", json.Number("18446744073709551616")},
		{"", "9007199254740993.10", json.Number("9007199254740993.10")},
		{"", "1.0E10", json.Number("1.0E10")},
		{"", "true", true},
		{"", "false", false},
		{"", `[1,"a",null,{"b":[]}]`, []any{int64(1), "a", nil, map[string]any{"b": []any{}}}},
	}
	for _, tt := range tests {
		s := &schema{Name: tt.logical, Parameters: map[string]string{"scale": "2"}}
		got, ok := decodeValue([]byte(tt.raw), s)
		if !ok || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s %s: got %#v, %t; want %#v", tt.logical, tt.raw, got, ok, tt.want)
		}
		array := []byte("[" + tt.raw + "]")
		if got, ok := decodeValue(array, &schema{Items: s}); !ok || !reflect.DeepEqual(got, []any{tt.want}) {
			t.Errorf("%s in an array: got %#v, %t", tt.logical, got, ok)
		}
	}
}

// Java writes the shortest two's complement form of the unscaled value.
func TestDecimalsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "magnitude"))
		if rapid.Bool().Draw(t, "negative") {
			n.Neg(n)
		}
		scale := rapid.IntRange(-5, 30).Draw(t, "scale")
		raw, err := json.Marshal(base64.StdEncoding.EncodeToString(twosComplement(n)))
		if err != nil {
			t.Fatal(err)
		}
		v, ok := decimal(raw, big.NewInt(int64(scale)).String())
		if !ok {
			t.Fatalf("%d is not read", n)
		}
		text := v.(json.Number).String()
		got, ok := new(big.Rat).SetString(text)
		if !ok || !json.Valid([]byte(text)) {
			t.Fatalf("%q is no number", text)
		}
		want := new(big.Rat).SetInt(n)
		ten := new(big.Rat).SetInt64(10)
		for range scale {
			want.Quo(want, ten)
		}
		for range -scale {
			want.Mul(want, ten)
		}
		if got.Cmp(want) != 0 {
			t.Fatalf("%d with scale %d became %s", n, scale, text)
		}
		_, decimals, _ := strings.Cut(text, ".")
		if len(decimals) != max(scale, 0) {
			t.Fatalf("%d with scale %d became %s: not as many decimals", n, scale, text)
		}
	})
}

// twosComplement finds the length by trying: a byte more than the magnitude
// needs is always enough, and whatever only repeats the sign goes.
func twosComplement(n *big.Int) []byte {
	size := len(n.Bytes()) + 1
	m := new(big.Int).Set(n)
	if n.Sign() < 0 {
		m.Add(m, new(big.Int).Exp(big.NewInt(256), big.NewInt(int64(size)), nil))
	}
	b := m.FillBytes(make([]byte, size))
	for len(b) > 1 && (b[0] == 0 && b[1] < 0x80 || b[0] == 0xff && b[1] >= 0x80) {
		b = slices.Delete(b, 0, 1)
	}
	return b
}

func TestSchemasAreRememberedAndBounded(t *testing.T) {
	var c schemas
	first, err := c.parse([]byte(`{"name":"a"}`), inValue)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := c.parse([]byte(`{"name":"a"}`), inValue); again != first {
		t.Error("parsed twice")
	}
	for n := range 3 * maxSchemas {
		if _, err := c.parse([]byte(`{"version":`+strings.Repeat("1", n+1)+`}`), inValue); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.parsed) > maxSchemas {
		t.Errorf("%d schemas are kept", len(c.parsed))
	}
	huge := []byte(`{"name":"` + strings.Repeat("x", maxSchemaSize) + `"}`)
	if _, err := c.parse(huge, inValue); err != nil || c.parsed[string(huge)] != nil {
		t.Errorf("a huge schema is kept, or not read: %v", err)
	}
}
