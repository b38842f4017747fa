//! Plants a violation of every rule and sees it reported, with its path and its reason.

use super::{root, source, violations};
use std::fs;
use tempfile::TempDir;

/// A tree of these files, and of nothing else.
fn tree<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> TempDir {
    let root = tempfile::tempdir().expect("a temporary folder");
    for folder in ["src", "tests"] {
        fs::create_dir(root.path().join(folder)).expect("a new folder");
    }
    for (path, text) in files {
        let target = root.path().join(path);
        fs::create_dir_all(target.parent().expect("a folder")).expect("a new folder");
        fs::write(target, text).expect("a new file");
    }
    root
}

/// What is wrong with the file at `path` if it has this text.
fn planted(path: &str, text: &str) -> Vec<String> {
    let found = violations(tree([(path, text)]).path()).into_iter();
    found.map(|line| line.replacen(&format!("{path}: "), "", 1)).collect()
}

/// Asserts that this text behind a proper header is reported for these reasons and no other.
fn assert_reported(path: &str, text: &str, reasons: &[&str]) {
    let found = planted(path, &format!("//! Planted by a test.\n{text}\n"));
    assert_eq!(found, reasons, "{path} with\n{text:.300}");
}

#[test]
fn one_violation_in_a_copy_of_the_tree_is_found() {
    let sources = source::below(root());
    let copy = sources.iter().map(|file| (file.path.as_str(), file.text.as_str()));
    let copy = tree(copy.chain([(
        "src/domain/deep/planted.rs",
        "//! Planted by a test.\nuse crate::http;\n",
    )]));
    let reason = "src/domain/deep/planted.rs: domain imports http; it may import nothing of ours";
    assert_eq!(violations(copy.path()), [reason]);
}

#[test]
fn imports_against_the_layers_are_reported() {
    for text in [
        "use crate::app::Decide;",
        "use jitgate::app::Decide;",
        "use crate::{domain::job, app::Decide};",
        "use crate::{\n    domain::{self, job::{Progress as P}},\n    app,\n};",
        "fn f() { crate::app::decide::<u8>() }",
        "#[cfg(test)]\nmod tests {\n    #[test]\n    fn t() { crate::app::decide() }\n}",
    ] {
        assert_reported(
            "src/domain/planted.rs",
            text,
            &["domain imports app; it may import nothing of ours"],
        );
    }
    assert_reported(
        "src/ports/planted.rs",
        "use crate::*;",
        &["ports imports *; it may import domain"],
    );
    assert_reported(
        "src/ports/mod.rs",
        "use super::app;",
        &["ports imports app; it may import domain"],
    );
    assert_reported(
        "src/main.rs",
        "use jitgate::http;",
        &["main imports http; it may import cli"],
    );
    assert_reported("src/planted.rs", "", &["planted is not in the layer table"]);
}

#[test]
fn climbing_is_reported() {
    let reason = ["hides what it imports behind super::super"];
    assert_reported("src/domain/planted.rs", "use super::super::domain::job;", &reason);
}

#[test]
fn imports_along_the_layers_pass() {
    assert_reported(
        "src/ports/planted.rs",
        "use super::Failure;\nuse crate::{domain::job, ports::Clock};",
        &[],
    );
    assert_reported(
        "src/adapters/one/planted.rs",
        "use super::other;\nuse crate::adapters::one::b;",
        &[],
    );
    let tests = "#[cfg(test)]\nmod tests {\n    use super::*;\n    #[test]\n    fn t() {}\n}";
    assert_reported("src/adapters/planted.rs", tests, &[]);
}

#[test]
fn adapters_that_know_each_other_are_reported() {
    let reasons = ["imports another adapter, two"];
    assert_reported(
        "src/adapters/one/planted.rs",
        "use crate::adapters::two::Store;",
        &reasons,
    );
    assert_reported(
        "src/adapters/one/planted.rs",
        "use crate::{adapters::{one::x, two::Store}, ports};",
        &reasons,
    );
    assert_reported("src/adapters/planted.rs", "use super::two::Store;", &reasons);
}

#[test]
fn hosts_that_know_each_other_are_reported() {
    let hosts = "src/adapters/hosts";
    assert_reported(
        &format!("{hosts}/one/planted.rs"),
        "use crate::adapters::hosts::slots::SlotDir;",
        &[],
    );
    for importing in ["one", "slots"] {
        assert_reported(
            &format!("{hosts}/{importing}/planted.rs"),
            "use crate::adapters::hosts::{slots::SlotDir, two::Settings};",
            &["imports another host, two"],
        );
    }
}

#[test]
fn comments_and_literals_are_no_code() {
    let quiet = r###"
        // use crate::app;
        /* use crate::app; /* and */ use crate::app; */
        const A: &str = "use crate::app; \" use crate::app;";
        const B: &str = r##"use crate::app; "# use crate::app;"##;
        const C: (char, char) = ('"', '\'');
        fn life<'a>(x: &'a str) -> &'a str { x } // use crate::app;
    "###;
    assert_reported("src/domain/planted.rs", quiet, &[]);
    let loud = format!("{quiet}\nuse crate::cli;");
    assert_reported(
        "src/domain/planted.rs",
        &loud,
        &["domain imports cli; it may import nothing of ours"],
    );
}

#[test]
fn a_missing_header_is_reported() {
    let reason = "does not begin with a //! header that says its purpose";
    assert_eq!(planted("src/domain/planted.rs", "struct Bare;\n"), [reason]);
}

#[test]
fn long_files_are_reported() {
    // With the header and the line behind the text.
    let lines = |count: usize| "const X: () = ();\n".repeat(count - 2);
    assert_reported("src/domain/planted.rs", &lines(400), &[]);
    assert_reported(
        "src/domain/planted.rs",
        &lines(401),
        &["has more than 400 lines before its tests"],
    );
    assert_reported("src/main.rs", &lines(21), &["has more than 20 lines"]);
    let mostly_tests = format!(
        "{}#[cfg(test)]\nmod tests {{\n#[test]\nfn t() {{}}\n{}}}",
        lines(300),
        lines(300)
    );
    assert_reported("src/domain/planted.rs", &mostly_tests, &[]);
    let declared = format!("#[cfg(test)]\nmod tests;\n{}", lines(400));
    assert_reported(
        "src/domain/planted.rs",
        &declared,
        &["has more than 400 lines before its tests"],
    );
}

#[test]
fn names_that_fit_anything_are_reported() {
    let reason = ["has a name that fits anything; name it by its subject"];
    for path in ["src/domain/util.rs", "src/domain/common/x.rs", "tests/helpers/mod.rs"] {
        assert_reported(path, "", &reason);
    }
}

#[test]
fn logic_in_a_module_file_is_reported() {
    let reason = ["holds more than modules and re-exports"];
    assert_reported(
        "src/domain/planted/mod.rs",
        "pub mod a;\n/// Documented.\npub fn f() {}",
        &reason,
    );
    assert_reported("src/domain/planted/mod.rs", "pub mod a { pub mod b; }", &reason);
    let plain = "pub mod a;\n#[cfg(test)]\nmod tests;\npub(crate) use a::{B, C};\nuse a::D as E;";
    assert_reported("src/domain/planted/mod.rs", plain, &[]);
}

#[test]
fn global_state_is_reported() {
    let reason = ["has global state; pass a value, or use a const"];
    assert_reported("src/domain/planted.rs", "pub static X: u8 = 0;", &reason);
    assert_reported("src/domain/planted.rs", "thread_local! { static X: u8 = 0 }", &reason);
}

#[test]
fn exemptions_outside_their_place_are_reported() {
    let planted = "#[expect(clippy::disallowed_methods, reason = \"planted\")]\nfn f() {}";
    assert_reported(
        "src/app/planted.rs",
        planted,
        &["exempts itself from a ban of clippy.toml"],
    );
    assert_reported("src/config/planted.rs", planted, &[]);
}

#[test]
fn tests_that_prove_nothing_are_reported() {
    let test =
        |attribute: &str, body: &str| format!("#[cfg(test)]\nmod tests {{\n{attribute}\nfn t() {{ {body} }}\n}}");
    let path = "src/domain/planted.rs";
    assert_reported(path, &test("", ""), &["has a test module without a test"]);
    assert_reported("tests/planted.rs", "fn t() {}", &["has a test module without a test"]);
    assert_reported(path, &test("#[test]\n#[ignore]", ""), &["ignores a test"]);
    assert_reported(
        path,
        &test("#[tokio::test]", "sleep(a_while).await"),
        &["sleeps in a test; move the clock or wait for the event"],
    );
    assert_reported(path, &test("#[tokio::test]", "advance(a_while).await"), &[]);
}

#[test]
fn files_that_import_each_other_are_reported() {
    let header = "//! Planted by a test.\n";
    let found = |files: &[(&str, &str)]| {
        let texts: Vec<(&str, String)> = files
            .iter()
            .map(|(path, text)| (*path, format!("{header}{text}")))
            .collect();
        violations(tree(texts.iter().map(|(path, text)| (*path, text.as_str()))).path())
    };
    let (a, b, c) = ("src/http/a.rs", "src/http/b.rs", "src/http/deep/c.rs");
    let of_two =
        "src/http/a.rs: is one of 2 files that import each other: src/http/a.rs -> src/http/b.rs -> src/http/a.rs";
    for back in [
        "use super::a::X;",
        "use crate::http::{b, a::X};",
        "fn f() { crate::http::a::g() }",
        "use super::a;",
        "use crate::http::{self};\nfn f() { http::a::g() }",
        "use crate::http;\nfn f() { http::a::g() }",
    ] {
        assert_eq!(found(&[(a, "use super::b::Y;"), (b, back)]), [of_two], "{back}");
    }
    // Through what a folder passes on, under another name too.
    let folder = "src/http/deep/mod.rs";
    let of_three = "src/http/a.rs: is one of 3 files that import each other: \
                    src/http/a.rs -> src/http/deep/c.rs -> src/http/b.rs -> src/http/a.rs";
    for (passed_on, import) in [
        ("mod c;\npub use c::{C, D};", "use super::deep::C;"),
        ("mod c;\npub use c::D as C;", "use crate::http::deep::C;"),
        (
            "mod c;\npub use self::c::D as C;",
            "use crate::http::deep;\nfn f() -> deep::C {}",
        ),
    ] {
        let files = [
            (a, import),
            (b, "use super::a;"),
            (c, "use crate::http::b::Y;"),
            (folder, passed_on),
        ];
        assert_eq!(found(&files), [of_three], "{passed_on}");
    }
    // One way only; tests may go back.
    let tests = "#[cfg(test)]\nmod tests {\n    use crate::http::a;\n    #[test]\n    fn t() {}\n}";
    assert_eq!(found(&[(a, "use super::b::Y;"), (b, tests)]), [""; 0]);
}

#[test]
fn public_items_without_a_doc_comment_are_reported() {
    let path = "src/domain/planted.rs";
    let reason = |name: &str| format!("has no doc comment for {name}");
    for item in [
        "pub struct Bare(u8);",
        "pub enum Bare {}",
        "pub type Bare = u8;",
        "#[derive(\n    Debug,\n)]\npub struct Bare {\n    pub field: u8,\n}",
        "pub trait Bare {\n    /// Documented.\n    fn f();\n}",
        "/// Documented.\npub trait Fine {\n    fn Bare(&self);\n}",
        "impl X {\n    pub async fn Bare() {}\n}",
        "/// Of another.\nconst X: u8 = 0;\npub const fn Bare() {}",
    ] {
        assert_reported(path, item, &[&reason("Bare")]);
    }
    let fine = "/// Documented.\n#[derive(Debug)]\npub struct Fine {\n    pub field: u8,\n}\nfn own() {}\npub(crate) struct Own;\n\
                trait OwnTrait {\n    fn f();\n}";
    assert_reported(path, fine, &[]);
}
