//! The repository checks itself: file headers, file sizes, the import table of `src/lib.rs`, unsafe code, leftovers.
//!
//! Each rule is a function from a file to its complaints, and each has a test that shows it red.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 800;
/// Written by a compiler; nobody reads or edits it.
const GENERATED: &str = "src/cluster/generated";

struct Source {
    /// Relative to the repository, with forward slashes.
    path: String,
    text: String,
}

impl Source {
    /// The first folder or file name below `src/`.
    fn folder(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        Some(rest.split(['/', '.']).next().unwrap_or(rest))
    }

    fn complaint(&self, line: usize, rule: &str) -> String {
        format!("{}:{}: {rule}", self.path, line + 1)
    }
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(&repository().join("src"), &mut found);
    found
}

fn collect(directory: &Path, found: &mut Vec<Source>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(repository()).unwrap().to_str().unwrap().replace('\\', "/");
            if !relative.starts_with(GENERATED) {
                found.push(Source { path: relative, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
}

/// Folder → folders it may import, read from the table in `src/lib.rs`.
fn import_table(lib: &str) -> BTreeMap<String, Vec<String>> {
    let mut table = BTreeMap::new();
    for row in lib.lines().filter_map(|line| line.strip_prefix("//! |")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        if cells.len() < 3 || !cells[0].starts_with('`') {
            continue;
        }
        let allowed: Vec<String> = cells[2].split(',').map(|name| name.trim().to_owned()).filter(|name| name != "nothing").collect();
        for folder in cells[0].split(',') {
            table.insert(folder.trim().trim_matches('`').to_owned(), allowed.clone());
        }
    }
    table
}

fn missing_header(source: &Source) -> Vec<String> {
    match source.text.starts_with("//!") {
        true => Vec::new(),
        false => vec![source.complaint(0, "a file opens with //!: what it is, which thread it lives on, its invariants")],
    }
}

fn too_long(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    match lines > LINES_MAX {
        true => vec![source.complaint(lines - 1, &format!("{lines} lines; a file above {LINES_MAX} holds two ideas"))],
        false => Vec::new(),
    }
}

fn leftovers(source: &Source) -> Vec<String> {
    let marks = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("dbg", "!("), concat!("FIX", "ME"), concat!("XX", "X")];
    let lines = source.text.lines().enumerate();
    lines.filter(|(_, line)| marks.iter().any(|mark| line.contains(mark))).map(|(at, _)| source.complaint(at, "left over")).collect()
}

fn unsafe_outside_io(source: &Source) -> Vec<String> {
    let is_unsafe = |line: &str| {
        let code = line.split("//").next().unwrap_or(line);
        code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
    };
    let lines: Vec<&str> = source.text.lines().collect();
    let mut complaints = Vec::new();
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| is_unsafe(line)) {
        if source.folder() != Some("io") {
            complaints.push(source.complaint(at, "unsafe code lives in src/io only"));
        } else if !lines[at.saturating_sub(8)..=at].iter().any(|line| line.contains("// SAFETY:") || line.contains("/// # Safety")) {
            complaints
                .push(source.complaint(at, "an unsafe block carries // SAFETY: with the argument, an unsafe function a section # Safety"));
        }
    }
    complaints
}

fn forbidden_imports(source: &Source, table: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let Some(folder) = source.folder().filter(|folder| !matches!(*folder, "lib" | "bin")) else { return Vec::new() };
    let Some(allowed) = table.get(folder) else { return vec![source.complaint(0, "this folder is not in the import table of src/lib.rs")] };
    let mut complaints = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or(line);
        for part in code.split("crate::").skip(1) {
            let target: String = part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if table.contains_key(&target) && target != folder && !allowed.contains(&target) {
                complaints.push(source.complaint(at, &format!("`{folder}` may not import `{target}` (table in src/lib.rs)")));
            }
        }
    }
    complaints
}

#[test]
fn the_tree_is_tidy() {
    let lib = fs::read_to_string(repository().join("src/lib.rs")).unwrap();
    let table = import_table(&lib);
    assert!(table.len() >= 10, "the import table of src/lib.rs was not found: {table:?}");
    let sources = sources();
    assert!(sources.len() > 20, "the walk found the sources");
    let complaints: Vec<String> = sources
        .iter()
        .flat_map(|source| {
            [missing_header(source), too_long(source), leftovers(source), unsafe_outside_io(source), forbidden_imports(source, &table)]
                .concat()
        })
        .collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn every_rule_can_fail() {
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let table = import_table("//! | `log` | x | base |\n//! | `api`, `net` | x | base, log |\n");
    assert_eq!(table["net"], ["base", "log"]);
    assert_eq!(missing_header(&source("src/log/a.rs", "use x;")).len(), 1);
    assert_eq!(too_long(&source("src/log/a.rs", &"\n".repeat(LINES_MAX + 1))).len(), 1);
    assert_eq!(leftovers(&source("src/log/a.rs", concat!("todo", "!()"))).len(), 1);
    assert_eq!(unsafe_outside_io(&source("src/log/a.rs", "unsafe { x }")).len(), 1);
    assert_eq!(unsafe_outside_io(&source("src/io/a.rs", "unsafe { x }")).len(), 1);
    assert_eq!(unsafe_outside_io(&source("src/io/a.rs", "// SAFETY: x\nunsafe { x }")).len(), 0);
    assert_eq!(forbidden_imports(&source("src/log/a.rs", "use crate::api::x;"), &table).len(), 1);
    assert_eq!(forbidden_imports(&source("src/api/a.rs", "use crate::log::x;"), &table).len(), 0);
    assert_eq!(forbidden_imports(&source("src/new/a.rs", ""), &table).len(), 1);
}
