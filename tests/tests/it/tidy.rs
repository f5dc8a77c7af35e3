//! The invariants of the architecture, as far as files and manifests show them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use amp_proto::CommandSchema;
use mesh::commands::VOCABULARY;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn cargo(arguments: &[&str]) -> String {
    let mut cargo = Process::new(env!("CARGO"));
    let output = cargo.args(arguments).arg("--offline").current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A dependency as a manifest states it.
#[derive(Debug)]
struct Dependency {
    name: String,
    is_dev: bool,
    is_optional: bool,
}

/// The packages of the workspace and what each depends on.
fn packages() -> BTreeMap<String, Vec<Dependency>> {
    let metadata = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter().map(|package| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let dependencies = dependencies.map(|dependency| Dependency {
            name: dependency["name"].as_str().unwrap().to_owned(),
            is_dev: dependency["kind"] == "dev",
            is_optional: dependency["optional"] == true,
        });
        (package["name"].as_str().unwrap().to_owned(), dependencies.collect())
    });
    packages.collect()
}

/// Every file below the folder that ends so, without what is built or downloaded.
fn files(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                if !(name.starts_with('.') || name == "target" || name == "book") {
                    folders.push(path);
                }
            } else if name.ends_with(suffix) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// Our own sources. Fixtures that are wrong on purpose, and what programs wrote, are left out.
fn sources() -> Vec<(PathBuf, String)> {
    let is_ours = |path: &PathBuf| {
        let parts: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
        !parts.contains(&"ui") && !parts.contains(&"golden")
    };
    let files = files(&root(), ".rs").into_iter().filter(is_ours);
    files.map(|path| (path.strip_prefix(root()).unwrap().to_owned(), read(&path))).collect()
}

fn is_test(path: &Path) -> bool {
    path.iter().any(|part| part == "tests") && !path.starts_with("tests/src")
        || path.ends_with("tests.rs")
}

#[test]
fn crates_lean_on_each_other_in_one_direction() {
    const ALLOWED: [(&str, &[&str]); 6] = [
        ("rpc-macros", &[]),
        ("amp-proto", &["rpc-macros"]),
        ("mesh", &["amp-proto"]),
        ("region", &["amp-proto", "mesh"]),
        ("cluster", &["amp-proto", "mesh"]),
        ("mesh-harness", &["amp-proto", "mesh", "region", "cluster"]),
    ];
    let packages = packages();
    for (package, allowed) in ALLOWED {
        for dependency in packages[package].iter().filter(|dependency| !dependency.is_dev) {
            let name = dependency.name.as_str();
            let is_ours = packages.contains_key(name);
            assert!(!is_ours || allowed.contains(&name), "`{package}` leans on `{name}`");
        }
    }
}

#[test]
fn nothing_is_built_on_the_harness_or_on_the_program() {
    for (package, dependencies) in packages() {
        for dependency in dependencies {
            assert!(dependency.name != "ampmesh", "`{package}` leans on the program");
            let is_harness = dependency.name.ends_with("-harness");
            // A program that is a test as a whole.
            let is_test = dependency.is_dev || package == "chaos";
            assert!(!is_harness || is_test, "`{package}` is built on the harness");
        }
    }
}

#[test]
fn what_belongs_to_one_crate_stays_there() {
    const KEPT: [(&[&str], &[&str]); 6] = [
        (&["socket2", "mio", "ring", "native-tls", "quinn"], &["mesh"]),
        // The region's is for its way to PostgreSQL.
        (&["rustls", "tokio-rustls"], &["mesh", "region"]),
        (&["tokio-postgres"], &["region", "postgres-harness"]),
        (&["hyper", "axum", "tungstenite", "tokio-tungstenite"], &["gateway"]),
        (&["rusqlite"], &["region", "mesh-harness"]),
        (&["anyhow", "clap"], &["ampmesh", "mesh-harness", "chaos"]),
    ];
    for (package, dependencies) in packages() {
        for (names, keepers) in KEPT {
            for dependency in &dependencies {
                let is_kept = names.contains(&dependency.name.as_str());
                let is_keeper = keepers.contains(&package.as_str());
                assert!(!is_kept || is_keeper, "`{package}` uses `{}`", dependency.name);
            }
        }
    }
}

#[test]
fn only_the_transports_of_mesh_know_tcp() {
    for (path, text) in sources() {
        let knows = ["TcpStream", "TcpListener", "TcpSocket", "UdpSocket"];
        let may = path.starts_with("mesh/src/transport")
            || path.starts_with("tests")
            || path.iter().any(|part| part == "tests" || part == "bench" || part == "examples");
        let named = knows.into_iter().find(|name| text.contains(name));
        assert!(may || named.is_none(), "{} knows `{}`", path.display(), named.unwrap_or_default());
    }
}

#[test]
fn amp_proto_knows_no_socket_no_clock_and_no_thread() {
    let tree = cargo(&["tree", "-p", "amp-proto", "-e", "normal", "--prefix", "none"]);
    let names: BTreeSet<_> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains("bytes"), "{names:?}");
    for name in ["tokio", "tokio-util", "mio", "socket2", "futures-executor", "rand", "getrandom"] {
        assert!(!names.contains(name), "amp-proto leans on `{name}`");
    }
    let optional = &packages()["amp-proto"];
    let codec = optional.iter().find(|dependency| dependency.name == "tokio-util");
    assert!(codec.is_none_or(|dependency| dependency.is_optional));

    let lib = read(&root().join("amp-proto/src/lib.rs"));
    assert!(lib.lines().any(|line| line == "#![no_std]"), "amp-proto is no_std");
    for (path, text) in sources().iter().filter(|(path, _)| path.starts_with("amp-proto/src")) {
        let outside_tests = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        // The codec's face is of tokio, behind a feature.
        let is_codec = path.ends_with("codec.rs");
        let names_std = !is_codec
            && outside_tests.lines().any(|line| {
                !line.trim_start().starts_with("//")
                    && line.contains("std::")
                    && !line.contains("no_std")
            });
        assert!(is_test(path) || !names_std, "{} names std", path.display());
    }
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let workspace = read(&root().join("Cargo.toml"));
    assert!(workspace.contains("unsafe_code = \"forbid\""));
    let metadata = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    for package in metadata["packages"].as_array().unwrap() {
        let path = package["manifest_path"].as_str().unwrap();
        assert!(read(Path::new(path)).contains("[lints]\nworkspace = true"), "{path}");
    }
}

#[test]
fn files_are_of_a_size_to_be_read() {
    const LINES_MAX: usize = 600;
    const COLUMNS_MAX: usize = 100;
    for (path, text) in sources() {
        let outside_tests = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines = outside_tests.lines().count();
        assert!(is_test(&path) || lines <= LINES_MAX, "{} has {lines} lines", path.display());
        for (index, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            let place = format!("{}:{}", path.display(), index + 1);
            assert!(columns <= COLUMNS_MAX, "{place} has {columns} columns");
        }
    }
}

#[test]
fn nothing_is_left_undone_or_unsaid() {
    let left = [concat!("#[ig", "nore"), concat!("to", "do!("), concat!("unimple", "mented!(")];
    let undone = concat!("TO", "DO");
    for (path, text) in sources() {
        for (index, line) in text.lines().enumerate() {
            let place = format!("{}:{}", path.display(), index + 1);
            let found = left.into_iter().find(|left| line.contains(left));
            assert_eq!(found, None, "{place}");
            let has_condition =
                ["when", "once", "until"].into_iter().any(|word| line.contains(word));
            assert!(!line.contains(undone) || has_condition, "{place} names no condition");
        }
    }
}

/// The targets of the links on a page, code left out.
fn links(page: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut in_code = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Even parts are outside of `code`.
        let text: String = line.split('`').step_by(2).collect::<Vec<_>>().join("·");
        for part in text.split("](").skip(1) {
            let target = part.split([')', ' ']).next().unwrap_or_default();
            links.push(target.to_owned());
        }
    }
    links
}

/// The anchors that a page has, as mdBook makes them of its headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut in_code = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code || !line.starts_with('#') {
            continue;
        }
        let title = line.trim_start_matches('#').trim();
        if let Some((_, given)) = title.split_once("{#") {
            anchors.insert(given.trim_end_matches('}').to_owned());
            continue;
        }
        let kept = title.chars().filter(|it| it.is_alphanumeric() || " -_".contains(*it));
        let kept: String = kept.collect();
        anchors.insert(kept.to_lowercase().replace(' ', "-"));
    }
    anchors
}

fn assert_leads_somewhere(from: &Path, link: &str) {
    if link.contains("://") || link.starts_with("mailto:") {
        return;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, it)| (file, Some(it)));
    let target = match file {
        "" => from.to_owned(),
        file => from.parent().unwrap().join(file),
    };
    let from = from.strip_prefix(root()).unwrap_or(from).display();
    // The rendered form of a page is as good as its source.
    let source = target.with_extension("md");
    let is_there =
        target.exists() || (target.extension().is_some_and(|it| it == "html") && source.exists());
    assert!(is_there, "{from}: `{link}` leads nowhere");
    if let (Some(anchor), true) = (anchor, source.exists()) {
        assert!(anchors(&read(&source)).contains(anchor), "{from}: `{link}` leads to no heading");
    }
}

#[test]
fn links_in_the_documentation_lead_somewhere() {
    // Pages below a crate's sources are part of its rustdoc, which checks them itself.
    let is_rustdoc = |page: &&PathBuf| page.components().any(|part| part.as_os_str() == "src");
    let book = root().join("docs");
    let pages = files(&root(), ".md");
    for page in pages.iter().filter(|page| page.starts_with(&book) || !is_rustdoc(page)) {
        for link in links(&read(page)) {
            assert_leads_somewhere(page, &link);
        }
    }
}

#[test]
fn every_page_of_the_book_is_in_its_summary() {
    let book = root().join("docs/src");
    let summary = book.join("SUMMARY.md");
    if !summary.exists() {
        return;
    }
    let listed: BTreeSet<PathBuf> =
        links(&read(&summary)).iter().map(|link| book.join(link)).collect();
    for page in files(&book, ".md") {
        let is_included = page.components().any(|part| part.as_os_str() == "generated");
        let is_listed = page == summary || is_included || listed.contains(&page);
        assert!(is_listed, "{} is not in SUMMARY.md", page.display());
    }
}

#[test]
fn what_sources_say_of_the_book_is_there() {
    let book = concat!("docs/", "src/");
    if !root().join(book).join("SUMMARY.md").exists() {
        return;
    }
    for (path, text) in sources() {
        for mention in text.split(book).skip(1) {
            let page: String = mention
                .chars()
                .take_while(|it| it.is_alphanumeric() || "/-_.#".contains(*it))
                .collect();
            let page = page.trim_end_matches('.');
            if page.contains(".md") {
                let from = root().join(book).join("SUMMARY.md");
                assert!(!page.is_empty(), "{}", path.display());
                assert_leads_somewhere(&from, page);
            }
        }
    }
}

/// One command, as it stands in the golden file: all that a peer can tell, and nothing else.
fn in_lines(schema: &CommandSchema) -> String {
    let mut lines = format!("{}\n", schema.name);
    let roles: Vec<_> = schema.answered_by.iter().map(ToString::to_string).collect();
    writeln!(lines, "  answered by {}", roles.join(", ")).unwrap();
    for argument in schema.arguments {
        writeln!(lines, "  < {argument}").unwrap();
    }
    for field in schema.response {
        writeln!(lines, "  > {field}").unwrap();
    }
    for error in schema.errors {
        writeln!(lines, "  ! {}{}", error.code, if error.fatal { " (fatal)" } else { "" }).unwrap();
    }
    for (sign, items) in [("<<", schema.takes), (">>", schema.gives)] {
        for field in items.unwrap_or_default() {
            writeln!(lines, "  {sign} {field}").unwrap();
        }
    }
    if !schema.requires_answer {
        lines.push_str("  no answer\n");
    }
    lines
}

#[test]
fn the_vocabulary_is_the_one_that_was_agreed_on() {
    let vocabulary: Vec<_> = VOCABULARY.iter().map(in_lines).collect();
    let vocabulary = vocabulary.join("\n");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/vocabulary.txt");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&golden, &vocabulary).unwrap();
    }
    let agreed = read(&golden);
    let changed = "the wire vocabulary has changed; BLESS=1 agrees to it";
    assert!(agreed == vocabulary, "{changed}\n--- agreed\n{agreed}\n--- now\n{vocabulary}");
}

#[test]
fn the_vocabulary_is_complete() {
    let known: BTreeSet<_> = VOCABULARY.iter().map(|schema| schema.name).collect();
    for path in files(&root().join("mesh/src/commands"), ".rs") {
        let text = read(&path);
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let derived = line.strip_prefix("#[derive(").and_then(|it| it.strip_suffix(")]"));
            if !derived.is_some_and(|it| it.split(", ").any(|derived| derived == "Command")) {
                continue;
            }
            // The name on the wire, where it is said to be another than the struct's.
            let declares = ["#[command(name = \"", "pub struct "];
            let declaration = lines.find_map(|line: &str| {
                declares.into_iter().find_map(|declares| line.strip_prefix(declares))
            });
            let declaration = declaration.unwrap();
            let name: String = declaration.chars().take_while(|it| it.is_alphanumeric()).collect();
            assert!(known.contains(name.as_str()), "`{name}` is missing from the vocabulary");
        }
    }
}
