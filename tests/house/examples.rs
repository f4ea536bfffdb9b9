//! The rule that every public item shows how it is used: its documentation has an example that `cargo test --doc` runs.
//!
//! What is `pub` without more counts as public, because the lint `unreachable_pub` is denied: structs, enums, traits
//! and their methods, functions and type aliases. Fields and variants are shown by their type, constants of a type too.

use crate::source::{Source, Token, closing, item_end};
use crate::{Violation, within};

/// The crates whose reference a stranger reads.
const DOCUMENTED: &[&str] = &["src", "backends/sdk/src"];

/// The exceptions: what is read in C, as a header, and shown by programs in C.
const READ_IN_C: &[&str] = &["src/capi", "backends/sdk/src/abi"];

const KINDS: &[&str] = &["struct", "enum", "union", "trait", "fn", "type"];

/// What may stand between `pub` and the kind of an item.
const MODIFIERS: &[&str] = &["const", "async", "unsafe", "extern", "\"C\""];

/// What may follow the backticks of a block that is compiled and run.
const RUNS: &[&str] = &["", "rust", "should_panic"];

/// Public items without an example that runs.
pub(crate) fn missing_examples(source: &Source) -> Vec<Violation> {
    if !within(&source.path, DOCUMENTED) || within(&source.path, READ_IN_C) {
        return Vec::new();
    }
    let items = public_items(&source.tokens).into_iter();
    let bare = items.filter(|item| !has_example(&source.text, item));
    bare.map(|item| Violation::new(item.line, format!("`{}` has no example that runs", item.name))).collect()
}

struct Item<'a> {
    name: &'a str,
    line: usize,
    /// The line on which the code before it ends: its documentation lies between the two.
    after: usize,
}

fn public_items(tokens: &[Token]) -> Vec<Item<'_>> {
    let (mut found, mut at, mut trait_end) = (Vec::new(), 0, 0);
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    while at < tokens.len() {
        let start = at;
        while text(at) == "#" && text(at + 1) == "[" {
            at = closing(tokens, at + 1);
        }
        let is_public = text(at) == "pub" && text(at + 1) != "(";
        let mut kind = at + usize::from(is_public);
        while MODIFIERS.contains(&text(kind)) {
            kind += 1;
        }
        let is_method = start < trait_end && text(kind) == "fn";
        let is_named = text(kind + 1).starts_with(|c: char| c.is_alphabetic() || c == '_');
        if !(is_public || is_method) || !KINDS.contains(&text(kind)) || !is_named {
            at = at.max(start + 1);
            continue;
        }
        if !tokens[kind].in_tests {
            let after = start.checked_sub(1).map_or(0, |before| last_line(&tokens[before]));
            found.push(Item { name: text(kind + 1), line: tokens[kind].line, after });
        }
        match text(kind) {
            // Its methods come next.
            "trait" => trait_end = item_end(tokens, kind),
            // What is inside of a function is nobody's business.
            "fn" => kind = item_end(tokens, kind),
            _ => {}
        }
        at = kind.max(start + 1);
    }
    found
}

fn last_line(token: &Token) -> usize {
    token.line + token.text.matches('\n').count()
}

fn has_example(text: &str, item: &Item<'_>) -> bool {
    let between = text.lines().skip(item.after).take(item.line.saturating_sub(item.after + 1));
    let documentation = between.filter_map(|line| line.trim_start().strip_prefix("///"));
    let fences = documentation.filter_map(|line| line.trim().strip_prefix("```"));
    fences.step_by(2).any(|information| RUNS.contains(&information))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "/// What it is.\n///\n/// # Examples\n/// ```\n/// f();\n/// ```\n";

    fn check(text: &str, names: &[&str]) {
        let source = Source::new("src/server/mod.rs", text);
        let found: Vec<_> = missing_examples(&source).into_iter().map(|found| found.what).collect();
        let expected: Vec<_> = names.iter().map(|name| format!("`{name}` has no example that runs")).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_public_item_without_an_example_is_found() {
        for item in [
            "pub struct A;",
            "pub enum A { B }",
            "pub fn A() {}",
            "pub const fn A() {}",
            "pub unsafe extern \"C\" fn A() {}",
            "pub type A = u8;",
            "pub unsafe trait A {}",
            "impl B {\n    pub fn A(self) {}\n}",
        ] {
            check(item, &["A"]);
            check(&format!("/// What it is.\n{item}"), &["A"]);
        }
    }

    #[test]
    fn an_example_above_or_among_the_attributes_counts() {
        for attributes in ["", "#[derive(\n    Clone,\n)]\n#[must_use = \"]\"]\n"] {
            check(&format!("use a::b;\n{EXAMPLE}{attributes}pub struct A {{ pub b: u8 }}"), &[]);
            check(&format!("use a::b;\n{attributes}{EXAMPLE}pub struct A {{ pub b: u8 }}"), &[]);
        }
    }

    #[test]
    fn the_example_of_another_item_does_not_count() {
        check(&format!("{EXAMPLE}pub struct A;\npub struct B;"), &["B"]);
        check(&format!("{EXAMPLE}fn a() {{}}\n/// What it is.\npub fn b() {{}}"), &["b"]);
        check(&format!("{EXAMPLE}const A: &str = \"\n\";\npub fn b() {{}}"), &["b"]);
    }

    #[test]
    fn a_block_that_is_not_run_is_no_example() {
        for language in ["no_run", "ignore", "compile_fail", "text", "yaml"] {
            check(&format!("{}pub fn a() {{}}", EXAMPLE.replacen("```", &format!("```{language}"), 1)), &["a"]);
        }
        check(&format!("/// ```text\n/// a\n/// ```\n{EXAMPLE}pub fn a() {{}}"), &[]);
    }

    #[test]
    fn methods_of_a_public_trait_are_items() {
        let methods = "/// It.\n    fn b(&self, f: fn(u8)) -> [u8; 2] { fn inner() {} [1, 2] }\n    fn c();\n";
        check(&format!("{EXAMPLE}pub trait A {{\n    {methods}}}\nfn d() {{}}"), &["b", "c"]);
        check(&format!("trait A {{\n    {methods}}}\nimpl A for B {{ fn b() {{}} }}"), &[]);
        check(&format!("{EXAMPLE}pub trait A {{\n    {EXAMPLE}    unsafe fn b();\n}}"), &[]);
    }

    #[test]
    fn what_is_no_public_item_needs_no_example() {
        check("pub mod a;\npub use a::B;\npub(crate) fn c() {}\nstruct D { pub e: u8 }\nconst F: fn(u8) = g;", &[]);
        check("#[cfg(test)]\nmod tests {\n    pub fn a() {}\n}", &[]);
    }

    #[test]
    fn the_reference_is_that_of_the_library_and_of_the_sdk_without_what_c_reads() {
        let rows = [
            ("src/lib.rs", 1),
            ("backends/sdk/src/tensor.rs", 1),
            ("backends/null/src/lib.rs", 0),
            ("benches/src/client.rs", 0),
            ("src/capi/server.rs", 0),
            ("backends/sdk/src/abi/value.rs", 0),
        ];
        for (path, expected) in rows {
            assert_eq!(missing_examples(&Source::new(path, "pub fn a() {}")).len(), expected, "{path}");
        }
    }
}
