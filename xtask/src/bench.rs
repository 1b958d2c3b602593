//! Measures what things cost, and keeps the figures.
//!
//! The benches are the binaries of `benches/`, each with its own table; this runs them one after the other, so that none
//! disturbs another, and joins what they found to one file. They write one JSON object a line, which can be joined
//! without reading it: this crate has no parser, and wants none.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{self, cargo};
use crate::sim;

/// The binaries, in the order of their running.
const BENCHES: [&str; 5] = ["policies", "costs", "footprint", "http", "postgres"];

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thoroughness {
    /// Enough for figures to quote.
    Full,
    /// Enough to see that all of it works.
    Quick,
}

/// Runs all benches.
///
/// # Errors
/// When one cannot be built or fails, or its figures cannot be kept. The figures of the run before are gone then.
pub(crate) fn run(thoroughness: Thoroughness) -> Result<(), String> {
    let folder = folder();
    let file = folder.join("figures.json");
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error| format!("{path}: {error}")
    };
    fs::create_dir_all(&folder).map_err(failed(&folder))?;
    // What is there is of another build, and would be taken for this one's should a bench fail.
    fs::write(&file, joined("")).map_err(failed(&file))?;

    let peers = node_peers(&folder)?;
    let mut lines = String::new();
    for bench in BENCHES {
        println!("\n== {bench}");
        let part = folder.join(bench).with_extension("jsonl");
        let mut command = cargo();
        command.args(["run", "--quiet", "--locked", "--release", "--package", "seawall-benches"]);
        command.args(["--bin", bench, "--", "--figures"]).arg(&part);
        if let Some(peers) = &peers {
            command.arg("--peers").arg(peers);
        }
        if thoroughness == Thoroughness::Quick {
            command.arg("--quick");
        }
        process::run(&mut command)?;
        lines += &fs::read_to_string(&part).map_err(failed(&part))?;
    }
    println!("\n== overload, in virtual time");
    let part = folder.join("overload.jsonl");
    sim::run(&["--overload".into(), "--figures".into(), part.clone().into_os_string()])?;
    lines += &fs::read_to_string(&part).map_err(failed(&part))?;
    lines += &instructions()?;
    fs::write(&file, joined(&lines)).map_err(failed(&file))?;
    println!("\n{} figures in {}", lines.lines().count(), file.display());
    let missed: Vec<_> =
        lines.lines().filter(|line| line.contains("\"met\":false")).filter_map(name_of).collect();
    println!("{} goals missed: {}", missed.len(), missed.join(", "));
    Ok(())
}

/// The name in a figure's line.
fn name_of(line: &str) -> Option<&str> {
    line.split_once("\"name\":\"")?.1.split_once('"').map(|(name, _)| name)
}

/// Counts the instructions of a call of each sort, which no other work of the machine changes, where valgrind is
/// installed: two runs of different lengths, less what both have in common.
fn instructions() -> Result<String, String> {
    const LENGTHS: [u64; 2] = [1_000, 6_000];
    if process::answer(Command::new("valgrind").arg("--version")).is_none() {
        println!("\ninstructions are not counted: `valgrind` is not installed");
        return Ok(String::new());
    }
    println!("\n== instructions, by callgrind");
    let mut build = cargo();
    build.args(["build", "--quiet", "--locked", "--release", "--package", "seawall-benches", "--bin", "one"]);
    process::run(&mut build)?;
    let (folder, mut lines) = (folder(), String::new());
    let binary = folder.with_file_name("release").join("one");
    for row in ["call", "hit", "rejection"] {
        let counted = LENGTHS.map(|length| {
            let mut count = Command::new("valgrind");
            count.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(&binary);
            collected(count.args([row, &length.to_string()]))
        });
        let [short, long] = counted;
        let each = long?.saturating_sub(short?) / (LENGTHS[1] - LENGTHS[0]);
        println!("{row}_instructions: {each}");
        lines += &format!(
            "{{\"name\":\"{row}_instructions\",\"value\":{each},\"unit\":\"instructions\",\"goal\":\"\",\"met\":null,\"peers\":{{}}}}\n"
        );
    }
    Ok(lines)
}

/// What callgrind says that it collected.
fn collected(command: &mut Command) -> Result<u64, String> {
    let wrong = |why: String| format!("callgrind counts nothing: {why}");
    let output = command.output().map_err(|error| wrong(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let count = text.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    count.ok_or_else(|| wrong(text.lines().last().unwrap_or("it said nothing").to_owned()))
}

/// Measures what calls cost through the breakers of Node's world, where Node is installed; the file that tells.
///
/// Their sources are fetched into the folder: this project holds none of them.
fn node_peers(folder: &Path) -> Result<Option<PathBuf>, String> {
    if process::answer(Command::new("node").arg("--version")).is_none()
        || process::answer(Command::new("npm").arg("--version")).is_none()
    {
        println!("opossum and cockatiel are left out: `node` and `npm` are not installed");
        return Ok(None);
    }
    println!("\n== opossum and cockatiel, under Node");
    let (node, file) = (folder.join("node"), folder.join("peers.json"));
    fs::create_dir_all(&node).map_err(|error| format!("{}: {error}", node.display()))?;
    for source in ["package.json", "bench.mjs"] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("benches").join("node").join(source);
        fs::copy(&from, node.join(source)).map_err(|error| format!("{}: {error}", from.display()))?;
    }
    let mut install = Command::new("npm");
    install.args(["install", "--silent", "--no-audit", "--no-fund"]).current_dir(&node);
    if let Err(error) = process::run(&mut install) {
        println!("opossum and cockatiel are left out: {error}");
        return Ok(None);
    }
    process::run(Command::new("node").args(["--expose-gc", "bench.mjs"]).arg(&file).current_dir(&node))?;
    Ok(Some(file))
}

/// `target/bench`, wherever cargo's target folder is.
fn folder() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(
        // Cargo runs a task in the folder that it was called in, which may be a member's.
        || Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target"),
        PathBuf::from,
    );
    target.join("bench")
}

/// One JSON array of objects that stand on a line each.
fn joined(lines: &str) -> String {
    let lines: Vec<_> = lines.lines().map(|line| format!("  {line}")).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_the_elements_of_one_array() {
        let lines = "{\"name\":\"call_ns\"}\n{\"name\":\"http_awc_ratio\"}\n";
        assert_eq!(joined(lines), "[\n  {\"name\":\"call_ns\"},\n  {\"name\":\"http_awc_ratio\"}\n]\n");
        assert_eq!(joined("").split_whitespace().collect::<String>(), "[]");
    }

    #[test]
    fn a_figures_name_is_found_in_its_line() {
        assert_eq!(name_of("{\"name\":\"call_ns\",\"value\":1}"), Some("call_ns"));
        assert_eq!(name_of("{}"), None);
    }

    #[test]
    fn figures_are_kept_beside_what_was_built() {
        assert!(folder().ends_with("bench"));
    }
}
