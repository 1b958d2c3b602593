//! `docs/opossum.md` accounts for each case and each trap: by a test that there is, or by a reason why there is none.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

const CASES: std::ops::RangeInclusive<u32> = 1..=56;
const TRAPS: std::ops::RangeInclusive<char> = 'a'..='l';

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The tests of this binary that stand for a case, a trap or a difference.
fn tests() -> BTreeSet<String> {
    let modules = read("tests/opossum/main.rs");
    let modules = modules.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    let mut tests = BTreeSet::new();
    for module in modules.filter(|module| *module != "support") {
        let source = read(&format!("tests/opossum/{module}.rs"));
        for test in source.split("#[test]\nfn ").skip(1).filter_map(|rest| rest.split('(').next()) {
            if ["case_", "trap_", "difference_"].iter().any(|kind| test.starts_with(kind)) {
                assert!(tests.insert(test.to_owned()), "{test} is there twice");
            }
        }
    }
    tests
}

/// What a test's name says that it is about: `case_18_and_19_one_trial` is about `18` and `19`, and
/// `case_40_and_trap_l_the_room` about `40` and `l`.
fn subjects(test: &str) -> Vec<String> {
    let words = test.split('_').filter(|word| !["case", "trap", "and"].contains(word));
    words.take_while(|word| is_subject(word)).map(str::to_owned).collect()
}

fn is_subject(word: &str) -> bool {
    let mut letters = word.chars();
    let trap = matches!((letters.next(), letters.next()), (Some(letter), None) if TRAPS.contains(&letter));
    trap || word.parse::<u32>().is_ok_and(|number| CASES.contains(&number))
}

/// The names in backticks that are tests'.
fn named(text: &str) -> Vec<&str> {
    let code = text.split('`').skip(1).step_by(2);
    code.filter(|word| ["case_", "trap_", "difference_"].iter().any(|kind| word.starts_with(kind))).collect()
}

/// Of each subject, what the last cell of its row says. A row `| 18, 19 | .. | .. |` is of two.
fn rows(doc: &str) -> BTreeMap<String, Vec<&str>> {
    let mut rows = BTreeMap::<_, Vec<_>>::new();
    for line in doc.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let subjects: Vec<&str> = cells[0].split(", ").collect();
        if subjects.iter().all(|subject| is_subject(subject)) {
            for subject in subjects {
                rows.entry(subject.to_owned()).or_default().push(cells[cells.len() - 1]);
            }
        }
    }
    rows
}

#[test]
fn each_case_and_each_trap_has_a_test_or_a_reason() {
    let doc = read("docs/opossum.md");
    let rows = rows(&doc);
    let mut problems = Vec::new();
    let subjects_of_all = CASES.map(|number| number.to_string()).chain(TRAPS.map(String::from));
    for subject in subjects_of_all {
        match rows.get(&subject).map(Vec::as_slice) {
            None => problems.push(format!("{subject} has no row")),
            Some([said]) => {
                let tests = named(said);
                if tests.is_empty() && !said.starts_with("none: ") {
                    problems.push(format!("{subject} has neither a test nor `none: ` and a reason"));
                }
                for test in tests.into_iter().filter(|test| !subjects(test).contains(&subject)) {
                    problems.push(format!("{test} is not about {subject} by its name"));
                }
            }
            Some(_) => problems.push(format!("{subject} has two rows")),
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_test_that_is_named_exists_and_every_one_that_exists_is_named() {
    let doc = read("docs/opossum.md");
    let named: BTreeSet<String> = named(&doc).into_iter().map(str::to_owned).collect();
    let there = tests();
    assert!(there.len() > 50, "the tests are not found: {there:?}");
    let missing: Vec<_> = named.difference(&there).collect();
    let untold: Vec<_> = there.difference(&named).collect();
    assert!(
        missing.is_empty() && untold.is_empty(),
        "there is no {missing:?}; the doc leaves out {untold:?}"
    );
}
