//! What `derive(HttpCall)` says of mistakes.

#[test]
fn mistakes_are_told_where_they_are() {
    trybuild::TestCases::new().compile_fail("tests/derive/*.rs");
}
