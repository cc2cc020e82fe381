package app

// What takes more than one key, another file or the file as a whole to see.
var fileProblems = []problemTest{
	{
		"required keys",
		[]string{
			"  brokers: [kafka-1:9092, kafka-2:9092]\n", "", "topics: [app.public.users]", "topics: []",
			"    server_key_id: id\n", "", "base_url: https://haptik.example", `base_url: ""`,
		},
		[]string{
			`1: kafka.brokers: is required; give it a value`, `2: kafka.topics: is required; give it a value`,
			`13: destinations.taptalk.server_key_id: is required; give server_key_id or server_key_id_file`,
			`20: destinations.haptik.base_url: is required; give it a value`,
		},
	},
	{
		"unset variable",
		[]string{"${HAPTIK_TOKEN}", "${HAPTIK_TOKEN_2}"},
		[]string{`24: destinations.haptik.token: the variable HAPTIK_TOKEN_2 is not set; set it, or write ${HAPTIK_TOKEN_2:-default}`},
	},
	{
		"broken variable",
		[]string{"${HAPTIK_TOKEN}", "${HAPTIK TOKEN}", "client_id: client", "client_id: $${A"},
		[]string{
			`23: destinations.haptik.client_id: has ${ without a variable's name and a }; write ${NAME} or ${NAME:-default}`,
			`24: destinations.haptik.token: has ${ without a variable's name and a }; write ${NAME} or ${NAME:-default}`,
		},
	},

	{
		"http",
		[]string{"https://taptalk.example", "http://taptalk.example"},
		[]string{`15: destinations.taptalk.base_url: plain http sends personal data and credentials in the clear: use https, or set allow_http`},
	},
	{
		"user in a URL",
		[]string{"https://taptalk.example", "https://u:hunter2@taptalk.example"},
		[]string{`15: destinations.taptalk.base_url: must not hold a user name or password`},
	},
	{
		"query in a URL",
		[]string{"https://taptalk.example", "https://taptalk.example/?k=hunter2"},
		[]string{`15: destinations.taptalk.base_url: must not have a query or a fragment`},
	},
	{
		"no URL",
		[]string{"https://taptalk.example", "taptalk.example", "https://haptik.example", "https://:443"},
		[]string{
			`15: destinations.taptalk.base_url: not an absolute URL, such as https://api.example.com`,
			`22: destinations.haptik.base_url: not an absolute URL, such as https://api.example.com`,
		},
	},

	{
		"call longer than half a session",
		[]string{"session_timeout: 45s", "session_timeout: 19s"},
		[]string{
			`18: destinations.taptalk.timeout: 10s must be at most half of kafka.session_timeout, 19s; lower it, or raise that`,
			`21: destinations.haptik.timeout: 10s must be at most half of kafka.session_timeout, 19s; lower it, or raise that`,
		},
	},
	{
		"call as long as the drain",
		[]string{"timeout: 10s", "timeout: 20s"},
		[]string{`18: destinations.taptalk.timeout: 20s must be below shutdown.drain_timeout, 20s; lower it, or raise that`},
	},
	{
		"drain as long as the rebalance",
		[]string{"rebalance_timeout: 60s", "rebalance_timeout: 20s"},
		[]string{`30: shutdown.drain_timeout: 20s must be below kafka.rebalance_timeout, 20s; lower it, or raise that`},
	},
	{
		"no judgement on what could not be read",
		[]string{
			"session_timeout: 45s", "session_timeout: long", "timeout: 10s", "timeout: 23s",
			"drain_timeout: 20s", "drain_timeout: -1s",
		},
		[]string{
			`5: kafka.session_timeout: "long" is not a duration; write it like 200ms, 45s or 15m`,
			`30: shutdown.drain_timeout: must be above 0; write it like 200ms, 45s or 15m`,
		},
	},

	{
		"mechanism without credentials",
		[]string{`mechanism: ""`, "mechanism: plain\n    username: u", "enabled: false", "enabled: true"},
		[]string{`9: kafka.sasl.password: is required with a mechanism; give password or password_file`},
	},
	{
		"credentials without mechanism",
		[]string{`mechanism: ""`, "username: u"},
		[]string{`10: kafka.sasl.username: is given without a mechanism, so it would not be used; give kafka.sasl.mechanism`},
	},
	{
		"unknown mechanism",
		[]string{`mechanism: ""`, "mechanism: gssapi"},
		[]string{`10: kafka.sasl.mechanism: must be one of plain, scram-sha-256, scram-sha-512`},
	},
	{
		"certificate without key",
		[]string{"enabled: false", "enabled: true\n    cert_file: c.pem"},
		[]string{`9: kafka.tls.cert_file: is given without key_file; give both, or neither`},
	},
	{
		"key without certificate",
		[]string{"enabled: false", "enabled: true\n    key_file: k.pem"},
		[]string{`9: kafka.tls.key_file: is given without cert_file; give both, or neither`},
	},
	{
		"no authority",
		[]string{"enabled: false", "enabled: true\n    ca_file: testdata/none.pem"},
		[]string{`9: kafka.tls.ca_file: cannot be read: no such file or directory`},
	},
	{
		"authority that is none",
		[]string{"enabled: false", "enabled: true\n    ca_file: testdata/good.yaml"},
		[]string{`9: kafka.tls.ca_file: holds no certificate in PEM`},
	},
	{
		"key pair that is none",
		[]string{"enabled: false", "enabled: true\n    cert_file: testdata/none.pem\n    key_file: testdata/none.pem"},
		[]string{`9: kafka.tls.cert_file: with key_file is no key pair: no such file or directory`},
	},

	{
		"no secret file",
		[]string{`server_key_secret: "0123-hunter2"`, "server_key_secret_file: testdata/none"},
		[]string{`17: destinations.taptalk.server_key_secret_file: cannot be read: no such file or directory`},
	},
	{
		"secret and its file",
		[]string{`server_key_secret: "0123-hunter2"`, "server_key_secret: hunter2\n    server_key_secret_file: testdata/good.yaml"},
		[]string{`18: destinations.taptalk.server_key_secret_file: is given beside server_key_secret; remove one of them`},
	},

	{
		"expressions",
		[]string{
			"format: debezium", "format: debezium\n  user_id: id +",
			"username: username", "username: first(username,\n      email: lowr(email)", "client_id: client", "client_id: client\n    mapping: {custom_data: {plan: plan(}}",
		},
		[]string{
			`13: events.user_id: unexpected token EOF (1:4)`,
			`21: destinations.taptalk.mapping.username: unexpected token EOF (1:15)`,
			`22: destinations.taptalk.mapping.email: unknown function lowr (1:1)`,
			`26: destinations.haptik.mapping.custom_data.plan: unexpected token EOF (1:5)`,
		},
	},
	{
		"constant user",
		[]string{"format: debezium", "user_id: \"'1'\""},
		[]string{`12: events.user_id: uses no column`},
	},
	{
		"fields",
		[]string{"username: username", "fullName: null\n      xcUserID: id\n      email: [email]"},
		[]string{
			`20: destinations.taptalk.mapping.fullName: is required and has no expression`,
			`21: destinations.taptalk.mapping.xcUserID: is the user ID and cannot be mapped; see events.user_id`,
			`22: destinations.taptalk.mapping.email: must hold expressions by name, not a list`,
		},
	},
	{
		"required and unknown fields",
		[]string{"username: username", "fullName: ''\n      nickname: username"},
		[]string{
			`20: destinations.taptalk.mapping.fullName: is required and has no expression`,
			`21: destinations.taptalk.mapping.nickname: the destination has no such field; use one of fullName, email, phone, username, photoThumbnailURL, photoFullsizeURL, userRoleCode`,
		},
	},
	{
		"field twice",
		[]string{"username: username", "username: username\n      username: email"},
		[]string{`21: destinations.taptalk.mapping.username: is already on line 20; remove one`},
	},
	{
		"unknown region",
		[]string{"timeout: 10s", "phone_region: XX"},
		[]string{`18: destinations.taptalk.phone_region: "XX" is not the ISO 3166 code of a region, such as ID`},
	},

	{
		"credential that is no header",
		[]string{"client_id: client", "client_id: my client"},
		[]string{`23: destinations.haptik.client_id: has a space or a character that no HTTP header can hold`},
	},

	{
		"no YAML",
		[]string{"  level: info", "  level: [info"},
		[]string{`34: is not YAML: sequence end token ']' not found`},
	},
	{
		"variable in a flow list",
		[]string{"[app.public.users]", "[${TOPIC}]"},
		[]string{`3: is not YAML: ',' or ']' must be specified; inside [...] and {...}, quote a variable: "${NAME}"`},
	},
	{
		"two documents",
		[]string{"retry:", "---\nretry:"},
		[]string{`26: a second document begins here; a configuration is one document`},
	},
}
