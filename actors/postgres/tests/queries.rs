//! Statements, their parameters, and rows as values.

mod support;

use seawall_postgres::{Execute, Query, QueryOne, QueryOpt};
use serde::Deserialize;
use support::{failure, snapshot, with};

#[derive(Debug, PartialEq, Deserialize)]
struct User {
    id: i64,
    name: String,
    email: Option<String>,
    tags: Vec<String>,
    #[serde(default)]
    nick: String,
}

const TABLE: &str = "create table users (id bigint primary key, name text not null, email text unique, \
                     tags text[] not null default '{}'); grant all on users to app; \
                     insert into users values (1, 'ann', 'ann@shop', '{a,b}'), (2, 'bob', null, '{}')";

#[test]
fn rows_are_read_by_name_by_order_and_alone() {
    with("", async |server, orders, _| {
        server.sql(TABLE);
        let all = Query::<User>::new("select * from users order by id");
        let all = orders.send(all).await.expect("it answers");
        let (ann, bob) = (&all[0], &all[1]);
        assert_eq!(
            (ann.id, ann.email.as_deref(), &*ann.tags),
            (1, Some("ann@shop"), &["a".to_owned(), "b".to_owned()][..])
        );
        assert_eq!((&*bob.name, &bob.email, bob.tags.len()), ("bob", &None, 0));

        let pair = QueryOne::<(i64, String)>::new("select id, name from users where id = $1").bind(2_i64);
        assert_eq!(*orders.send(pair).await.expect("it answers"), (2, "bob".to_owned()));
        let count = QueryOne::<i64>::new("select count(*) from users");
        assert_eq!(*orders.send(count).await.expect("it answers"), 2);
        let nobody = QueryOpt::<User>::new("select * from users where id = $1").bind(7_i64);
        assert!(orders.send(nobody).await.expect("it answers").is_none());
        let added = Execute::new("insert into users (id, name) values ($1, $2), ($3, $4)");
        let added = added.bind(3_i64).bind("cy".to_owned()).bind(4_i64).bind("di".to_owned());
        assert_eq!(*orders.send(added).await.expect("it answers"), 2);
    });
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mood {
    Happy,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Detail {
    deep: Vec<i32>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Everything {
    small: i16,
    real: f32,
    double: f64,
    yes: bool,
    bytes: Vec<u8>,
    uuid: String,
    json: Detail,
    jsonb: Detail,
    at: String,
    day: String,
    early: String,
    price: String,
    tiny: String,
    large: String,
    mood: Mood,
    nothing: Option<i32>,
    numbers: Vec<Option<i32>>,
}

#[test]
fn types_are_read_as_they_are() {
    with("", async |server, orders, _| {
        server.sql("create type mood as enum ('happy', 'sad')");
        let one = QueryOne::<Everything>::new(
            "select 7::int2 small, 1.5::float4 real, -2.25::float8 double, true yes, '\\x00ff'::bytea bytes, \
             '6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid uuid, '{\"deep\": [1]}'::json json, '{\"deep\": [2]}'::jsonb jsonb, \
             '2024-02-29 23:59:59.5+00'::timestamptz at, '1969-12-31'::date \"day\", '0001-01-01'::date early, \
             -1234567.8900::numeric price, 0.0001::numeric tiny, 100000000::numeric large, 'happy'::mood mood, \
             null::int nothing, array[1, null, 3] numbers",
        );
        let read = orders.send(one).await.expect("it answers");
        let expected = Everything {
            small: 7,
            real: 1.5,
            double: -2.25,
            yes: true,
            bytes: vec![0, 255],
            uuid: "6ba7b810-9dad-11d1-80b4-00c04fd430c8".into(),
            json: Detail { deep: vec![1] },
            jsonb: Detail { deep: vec![2] },
            at: "2024-02-29T23:59:59.500000Z".into(),
            day: "1969-12-31".into(),
            early: "0001-01-01".into(),
            price: "-1234567.8900".into(),
            tiny: "0.0001".into(),
            large: "100000000".into(),
            mood: Mood::Happy,
            nothing: None,
            numbers: vec![Some(1), None, Some(3)],
        };
        assert_eq!(*read, expected);
    });
}

#[test]
fn a_row_that_is_not_what_was_asked_for_is_named_without_its_values() {
    with("", async |_, orders, _| {
        for (sql, wanted) in [
            (
                "select 'canary-value' id, 'x' name",
                "column \"id\" of type text: it is a text, and i64 is asked for",
            ),
            (
                "select null::bigint id, 'x' name",
                "column \"id\" of type int8: it is null, and i64 is asked for",
            ),
            ("select 1::bigint id", "missing field `name`"),
            ("select 1::bigint id, '1s'::interval name", "select it as text: `column::text`"),
        ] {
            let error = orders.send(QueryOne::<User>::new(sql)).await.expect_err(sql);
            assert!(!support::says(&error, "canary"), "{error:?}");
            let failure = failure(error);
            assert!(failure.to_string().contains(wanted), "{sql}: {failure}");
            assert_eq!(failure.get_code(), Some("row"));
        }
        let several =
            orders.send(QueryOpt::<i32>::new("select generate_series(1, 3)")).await.expect_err("three");
        assert!(failure(several).to_string().contains("3 rows"));
        let none = orders.send(QueryOne::<i32>::new("select 1 where false")).await.expect_err("none");
        assert!(failure(none).to_string().contains("no row"));
    });
}

#[test]
fn kept_replies_are_told_apart_by_text_values_and_rows() {
    with("", async |server, orders, runtime| {
        server.sql(TABLE);
        let by_id = |id: i64| {
            QueryOne::<User>::new("select * from users where id = $1")
                .bind(id)
                .cached()
                .tag(format!("user:{id}"))
        };
        let ann = orders.send(by_id(1)).await.expect("it answers");
        assert_eq!(&*orders.send(by_id(2)).await.expect("it answers").name, "bob");
        let again = orders.send(by_id(1)).await.expect("it answers");
        assert_eq!((ann.origin(), again.origin()), (seawall::Origin::Fresh, seawall::Origin::Cached));
        // The same statement for other rows is another call.
        let other =
            QueryOne::<(i64, String, Option<String>, Vec<String>)>::new("select * from users where id = $1");
        assert_eq!(orders.send(other.bind(1_i64).cached()).await.expect("it answers").1, "ann");

        let renamed =
            Execute::new("update users set name = $1 where id = $2").bind("eve".to_owned()).bind(1_i64);
        orders.send(renamed.invalidates("user:1")).await.expect("it answers");
        assert_eq!(&*orders.send(by_id(1)).await.expect("it answers").name, "eve");
        let kept = snapshot(&runtime).calls.iter().map(|call| call.name).collect::<Vec<_>>();
        assert!(kept.contains(&"QueryOne") && kept.contains(&"Execute"), "{kept:?}");
    });
}

#[test]
fn a_statement_whose_table_changed_is_prepared_anew() {
    with("pool = { max = 1 }", async |server, orders, _| {
        server.sql(TABLE);
        let all = || Query::<User>::new("select * from users where id = 1");
        orders.send(all()).await.expect("it answers");
        server.sql("alter table users add column nick text not null default 'nicky'");
        assert_eq!(orders.send(all()).await.expect("it is prepared anew")[0].nick, "nicky");
    });
}

#[test]
fn a_result_beyond_the_limit_fails_its_call_alone() {
    with("pool = { max = 1 }", async |_, orders, _| {
        let large = Query::<String>::new("select repeat('x', 1000000) from generate_series(1, 200)");
        let failure = failure(orders.send(large).await.expect_err("it is too large"));
        assert_eq!(failure.get_code(), Some("too_large"));
        assert_eq!(*orders.send(QueryOne::<i32>::new("select 1")).await.expect("it answers"), 1);
    });
}
