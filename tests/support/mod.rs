//! Examples as programs that tests run.

use std::{env, fs, path::Path, process::Command};

/// An example's program. Cargo builds it with all tests; where only some were asked for it may be missing or old.
pub(crate) fn example(name: &str) -> Command {
    // target/debug/deps/storefront-0123 is this test.
    let test = env::current_exe().expect("a test has a path");
    let target = test.ancestors().nth(2).expect("it is in the target directory");
    let program = target.join("examples").join(name);
    if !is_up_to_date(&program) {
        let cargo = env::var_os("CARGO").expect("cargo runs the tests");
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--example", name]).current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(build.status().expect("cargo starts").success(), "{name} cannot be built");
    }
    Command::new(program)
}

/// Whether no source is newer than the program; cargo lists them beside it: `program: source source`.
fn is_up_to_date(program: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    let Some((built, sources)) = changed(program).zip(fs::read_to_string(program.with_extension("d")).ok())
    else {
        return false;
    };
    let sources = sources.split_once(": ").map_or("", |(_, sources)| sources).replace("\\ ", "\0");
    sources.split_whitespace().all(|source| {
        let source = source.replace('\0', " ");
        changed(Path::new(&source)).is_some_and(|changed| changed <= built)
    })
}
