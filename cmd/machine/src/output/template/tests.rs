//! Each expectation is what Go's text/template prints for the same template and the same JSON decoded into maps, apart
//! from whole numbers, which stay whole here.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Missing, Template};

fn data() -> Value {
    json!({
        "Name": "web-1", "Empty": "", "Port": 2376, "Load": 0.5, "Big": 1e21, "On": true, "Off": false, "Null": null,
        "Labels": ["a=b", "c=d"], "None": [], "Map": {"z": 1, "a": "x", "n": null},
        "Deep": {"Er": {"Est": "found"}},
    })
}

fn render(template: &str) -> String {
    match Template::parse(template).and_then(|t| t.render(&data(), Missing::NoValue)) {
        Ok(text) => text,
        Err(e) => format!("error: {e}"),
    }
}

#[test]
fn values_print_as_in_go() {
    let cases = [
        ("{{.Name}}", "web-1"),
        ("{{.Port}} {{.Load}} {{.Big}} {{.On}}", "2376 0.5 1e+21 true"),
        ("{{.Null}}|{{.Nothing}}|{{.Nothing.At.All}}", "<no value>|<no value>|<no value>"),
        ("{{.Labels}} {{.None}} {{.Map}}", "[a=b c=d] [] map[a:x n:<nil> z:1]"),
        ("{{.Deep.Er.Est}} {{(index . \"Deep\").Er.Est}} {{$.Deep.Er.Est}}", "found found found"),
        ("{{.Deep . }}", "error: only a function can be given arguments"),
        ("{{.Name.First}}", "error: can't evaluate field First in type string"),
        ("a\\tb\\nc", "a\tb\nc"),
        ("{{\"a\\tb\"}}{{`\\n`}}", "a\tb\\n"),
    ];
    for (template, expected) in cases {
        assert_eq!(render(template), expected, "{template}");
    }
}

#[test]
fn control_flow() {
    let cases = [
        ("{{if .On}}yes{{else}}no{{end}}", "yes"),
        ("{{if .Off}}1{{else if .Empty}}2{{else if .Port}}3{{else}}4{{end}}", "3"),
        ("{{if .None}}x{{end}}", ""),
        ("{{with .Deep}}{{.Er.Est}} {{$.Name}}{{end}}", "found web-1"),
        ("{{with .Nothing}}x{{else}}none{{end}}", "none"),
        ("{{with $x := .Name}}{{$x}}{{.}}{{end}}", "web-1web-1"),
        ("{{range .Labels}}<{{.}}>{{end}}", "<a=b><c=d>"),
        ("{{range $i, $l := .Labels}}{{if $i}},{{end}}{{$i}}{{$l}}{{end}}", "0a=b,1c=d"),
        ("{{range $k, $v := .Map}}{{$k}}:{{$v}} {{end}}", "a:x n:<no value> z:1 "),
        ("{{range .None}}x{{else}}none{{end}}", "none"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("{{range .Labels}}{{break}}{{end}}{{range .Labels}}{{.}}{{continue}}x{{end}}", "a=bc=d"),
        ("{{$n := 0}}{{range .Labels}}{{$n = len .}}{{end}}{{$n}}", "3"),
        ("{{$x := .Name}}{{$x}}", "web-1"),
        ("{{break}}", "error: {{break}} outside {{range}}"),
        ("{{if .On}}", "error: {{if}} without {{end}}"),
        ("{{end}}", "error: unexpected {{end}}"),
        ("{{range .Name}}{{end}}", "error: range can't iterate over web-1"),
        ("{{define \"x\"}}{{end}}", "error: {{define}} is not supported"),
        ("{{$y}}", "error: undefined variable \"$y\""),
        ("{{if $x := .On}}{{end}}{{$x}}", "error: undefined variable \"$x\""),
    ];
    for (template, expected) in cases {
        assert_eq!(render(template), expected, "{template}");
    }
}

#[test]
fn functions() {
    let cases = [
        (
            "{{json .Labels}} {{json .Nothing}} {{.Map | json}}",
            "[\"a=b\",\"c=d\"] null {\"z\":1,\"a\":\"x\",\"n\":null}",
        ),
        ("{{join .Labels \",\"}} {{split \"a b\" \" \" | json}}", "a=b,c=d [\"a\",\"b\"]"),
        ("{{upper .Name}} {{lower \"ABC\"}} {{title \"two words\"}}", "WEB-1 abc Two Words"),
        ("{{println .Name 1}}", "web-1 1\n"),
        ("{{print 1 2 \"a\" \"b\" 3}}", "1 2ab3"),
        ("{{len .Name}} {{len .Labels}} {{len .Map}}", "5 2 3"),
        ("{{len .Port}}", "error: len of type int"),
        ("{{index .Labels 1}} {{index .Map \"z\"}} {{index .Map \"q\"}}", "c=d 1 <no value>"),
        ("{{index .Labels 9}}", "error: index out of range: 9"),
        ("{{eq .Name \"web-1\"}} {{eq .Port 1 2376}} {{ne .Name \"x\"}}", "true true true"),
        ("{{eq .Name 1}}", "error: incompatible types for comparison: string and int"),
        ("{{lt 1 2}} {{ge 1 2}} {{gt \"b\" \"a\"}} {{le 1.5 2}}", "true false true true"),
        ("{{and .On .Name}} {{and .Off .Name}} {{or .Empty .Name}} {{not .On}}", "web-1 false web-1 false"),
        ("{{or .On (index .Labels 9)}}", "true"),
        ("{{if and .On (eq .Port 2376)}}y{{end}}", "y"),
        ("{{.Name | printf \"%-8s|\"}} {{.Name | len | printf \"%03d\"}}", "web-1   | 005"),
        ("{{truncate .Name 3}} [{{pad .Name 1 2}}]", "web [ web-1  ]"),
        ("{{slice .Name 1 3}} {{slice .Labels 1}}", "eb [c=d]"),
        (
            "{{nope .Name}}",
            &format!("error: function \"nope\" not defined (there are {})", super::functions::NAMES.join(", ")),
        ),
        ("{{upper .Name .Name}}", "error: wrong number of args for upper: want 1 got 2"),
    ];
    for (template, expected) in cases {
        assert_eq!(render(template), expected, "{template}");
    }
}

#[test]
fn printf_is_gos() {
    let cases = [
        (r#"{{printf "%s %q %v" .Name .Name .Labels}}"#, r#"web-1 "web-1" [a=b c=d]"#),
        (r#"{{printf "%05d|%-5d|%+d|%x|%#x|%o|%b" 42 42 42 255 255 8 5}}"#, "00042|42   |+42|ff|0xff|10|101"),
        (r#"{{printf "%6.2f|%e|%g|%.3g" 3.14159 1000000.0 1e-7 1234567.0}}"#, "  3.14|1.000000e+06|1e-07|1.23e+06"),
        (r#"{{printf "%.2s|%5s|%-5s|%*d" "abc" "ab" "ab" 4 7}}"#, "ab|   ab|ab   |   7"),
        (r#"{{printf "%t %T %c %U %x" true "s" 65 65 "hi"}}"#, "true string A U+0041 6869"),
        (
            r#"{{printf "%d" "hi"}} {{printf "%d"}} {{printf "%%" 1}} {{printf "%"}}"#,
            "%!d(string=hi) %!d(MISSING) %%!(EXTRA int=1) %!(NOVERB)",
        ),
        (r#"{{printf "%99999999999999999999d" 1}}"#, "%!(BADWIDTH)1"),
    ];
    for (template, expected) in cases {
        assert_eq!(render(template), expected, "{template}");
    }
}

#[test]
fn words_are_read_as_in_go() {
    let cases = [
        ("a {{- .Port -}} b", "a2376b"),
        ("a {{- /* note */ -}} b{{/* x */}}", "ab"),
        ("{{-3}}", "-3"),
        ("{{0x10}} {{0b11}} {{0o17}} {{017}} {{1_000}} {{1e3}} {{'a'}} {{-1.5}}", "16 3 15 15 1000 1000 97 -1.5"),
        ("{{\"\\u00e9\\x41\\101\"}}", "éAA"),
        ("{{nil}}{{true}}", "<no value>true"),
        ("{{\"x}}", "error: unterminated quoted string"),
        ("{{", "error: unclosed action"),
        ("{{}}", "error: missing value for command"),
        ("{{.Name |}}", "error: missing value for command"),
        ("{{(.Name}}", "error: unclosed left paren"),
        ("{{.Name)}}", "error: unexpected \")\" in an action"),
        ("{{1x}}", "error: bad number syntax: \"1x\""),
        ("{{inf}}", &format!("error: function \"inf\" not defined (there are {})", super::functions::NAMES.join(", "))),
        ("}}", "}}"),
    ];
    for (template, expected) in cases {
        assert_eq!(render(template), expected, "{template}");
    }
}

#[test]
fn every_function_is_documented() {
    let page = include_str!("../../../../../docs/output.md");
    let words: Vec<&str> = page.split(|c: char| !c.is_alphanumeric()).collect();
    for name in super::functions::NAMES {
        assert!(words.contains(name), "docs/output.md lacks {name}");
    }
}

#[test]
fn deep_nesting_is_refused() {
    assert_eq!(render(&format!("{{{{{}1{}}}}}", "(".repeat(5000), ")".repeat(5000))), "error: nested too deeply");
    assert_eq!(render(&"{{if .On}}".repeat(5000)), "error: nested too deeply");
    assert_eq!(render(&format!("{{{{if .Off}}}}{}", "{{else if .On}}".repeat(5000))), "error: nested too deeply");
}

proptest! {
    /// Whatever is typed: text or an error, never a panic.
    #[test]
    fn any_text_is_answered(text in "(\\{\\{|\\}\\}|-| |\\.|\\$|[a-c]|\\.Name|range |if |with |else|end|\\||:=|=|,|\"|`|'|[0-9]|\\(|\\)|printf |%|[deq*]|\\\\|é|\n){0,24}") {
        let _ = render(&text);
    }

    /// The same for what looks like a template.
    #[test]
    fn any_action_is_answered(inner in "[ -~]{0,40}") {
        let _ = render(&format!("{{{{{inner}}}}}"));
        let _ = render(&format!("{{{{range .Labels}}}}{{{{{inner}}}}}{{{{end}}}}"));
    }

    /// Text without actions comes out as it went in (no `{{`, no backslash).
    #[test]
    fn plain_text_stays(text in "[^{\\\\]{0,40}") {
        prop_assert_eq!(render(&text), text);
    }

    /// A string literal means what it says.
    #[test]
    fn quoting_is_undone(text in any::<String>()) {
        let quoted = render(&format!("{{{{printf \"%q\" {}}}}}", go_literal(&text)));
        prop_assert_eq!(render(&format!("{{{{{quoted}}}}}")), text);
    }

    /// Any integer prints as itself, in any of the ways of writing it.
    #[test]
    fn integers_are_exact(n in any::<i64>()) {
        prop_assert_eq!(render(&format!("{{{{{n}}}}}")), n.to_string());
        prop_assert_eq!(render(&format!("{{{{printf \"%d\" {n}}}}}")), n.to_string());
    }

    /// Any format with any values: text, never a panic.
    #[test]
    fn any_printf_is_answered(format in "[%a-zA-Z0-9.*+# -]{0,12}") {
        let value = Value::from(format.as_str());
        let (whole, list) = (Value::from(-7), json!(["a", 1, null]));
        let _ = super::printf::sprintf(&format, &[&whole, &value, &list, &json!(1.5), &Value::Null]);
    }
}

/// Text as a Go string literal, every character by its code.
fn go_literal(text: &str) -> String {
    let codes: Vec<String> = text.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect();
    format!("\"{}\"", codes.concat())
}
