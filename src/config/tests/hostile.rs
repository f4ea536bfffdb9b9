//! Texts that mean harm: each is refused with its place, at once, in bounded memory.

use super::*;

fn refused(text: &str, expected: &str) {
    let errors = parse("config.yaml", text).unwrap_err();
    assert_eq!(lines(&errors), expected);
}

#[test]
fn a_text_a_hundred_thousand_levels_deep_is_refused_at_the_65th() {
    for (level, column) in [("[", 65), ("{a: ", 257), ("- ", 129), ("? ", 129)] {
        refused(&level.repeat(100_000), &format!("1:{column}: found more than 64 levels, expected at most 64"));
    }
    let indented: String = (0..1_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    refused(&indented, "65:65: found more than 64 levels, expected at most 64");
    let deepest = format!("parameters: {}{}", "[".repeat(63), "]".repeat(63));
    refused(&deepest, "1:13: parameters: found a list, expected a mapping of keys");
}

#[test]
fn a_billion_laughs_end_after_a_few() {
    let laughs: String =
        (1..20).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", "))).collect();
    let text = format!("a0: &a0 [{}]\n{laughs}", ["ha"; 10].join(", "));
    let too_large = "found values of more than 8388608 bytes with aliases expanded, expected fewer";
    refused(&text, &format!("5:55: {too_large}"));
    let long = format!("a: &a {}\nb: [{}]", "x".repeat(1 << 16), vec!["*a"; 1_000].join(","));
    assert!(errors(&long).ends_with(too_large));
    let flat = format!("input: [{}]", "1,".repeat(500_000));
    assert!(errors(&flat).ends_with(too_large));
}

#[test]
fn aliases_cannot_stack_levels_beyond_the_bound() {
    let nested = |n: usize, inner: &str| format!("a{n}: &a{n} {}{inner}{}\n", "[".repeat(30), "]".repeat(30));
    let chain: String = (1..3_000).map(|n| nested(n, &format!("*a{}", n - 1))).collect();
    let text = nested(0, "x") + &chain;
    refused(&text, "3:39: found more than 64 levels, expected at most 64");
}

#[test]
fn an_alias_cannot_contain_itself_or_name_nothing() {
    refused("input: &a [*a]", "1:12: found an alias inside the node that it names");
    refused("input: &a {name: x, dims: [*a]}", "1:28: found an alias inside the node that it names");
    refused("input: *a", "1:8: not YAML: while parsing node, found unknown anchor");
}

#[test]
fn what_is_not_yaml_is_told_where_it_stops_being_so() {
    let cases = [
        ("\0\u{1}PK\u{3}\u{4}", "1:1: not YAML: unexpected character: `\\u{0}'"),
        ("max_batch_size: 8\n  input: [", "2:8: not YAML: mapping values are not allowed in this context"),
        ("input: [{name: x}\n", "1:8: not YAML: unclosed bracket '['"),
        ("input:\n\t- x", "2:2: not YAML: tabs disallowed within this context (block indentation)"),
        ("name: \"a\"\ninput [\n  {\n", "2:1: not YAML: simple key expected ':'"),
        ("hello world", "1:1: found 'hello world', expected a mapping of keys"),
        ("- name: x", "1:1: found a list, expected a mapping of keys"),
        ("name: a\n---\nname: b", "2:1: found a second document, expected one"),
        ("[a]: b", "1:1: found a list or mapping as a key, expected a name"),
    ];
    for (text, expected) in cases {
        refused(text, expected);
    }
}

#[test]
fn a_text_over_a_mebibyte_is_refused_unread() {
    let text = "#".repeat(1 << 20);
    assert!(parse("config.yaml", &text).is_ok());
    let errors = parse("config.yaml", &(text + "#")).unwrap_err();
    assert_eq!(errors.to_string(), "config.yaml: found more than 1048576 bytes, expected at most 1048576");
}

#[test]
fn sixty_thousand_errors_are_cut_to_a_hundred() {
    let text: String = (0..60_000).map(|n| format!("k{n}: 1\n")).collect();
    let errors = parse("config.yaml", &text).unwrap_err();
    assert_eq!(errors.iter().count(), 100);
    assert!(errors.to_string().ends_with("and 59900 more"));
    assert!(errors.to_string().len() < 100_000);
}
