//! The typed commands, against a real server.

mod support;

use std::{collections::HashMap, time::Duration};

use seawall::{
    call::{CallTraits, Origin},
    downstream::{Blame, Reached},
};
use seawall_redis::{
    Bytes, Command, Del, Expire, Get, HDel, HGet, HGetAll, HSet, Incr, MGet, Pipeline, Redis, Script, Set,
    Transaction,
};
use seawall_testkit::RedisServer;
use support::{Subject, failure, run};

#[test]
fn strings_are_set_read_and_deleted() {
    run(async {
        let redis = RedisServer::start().await;
        let subject = Subject::at(&redis.url()).await;
        let cache = &subject.cache;
        assert_eq!(*cache.send(Get::<String>::new("user")).await.unwrap(), None);
        assert!(*cache.send(Set::new("user", "ann").ttl(Duration::from_secs(60))).await.unwrap());
        assert_eq!(cache.send(Get::<String>::new("user")).await.unwrap().as_deref(), Some("ann"));
        assert!(redis.cli(&["PTTL", "user"]).parse::<u64>().unwrap() > 50_000);
        assert!(!*cache.send(Set::new("user", "bob").if_absent()).await.unwrap(), "there is one");
        assert!(!*cache.send(Set::new("other", "bob").if_present()).await.unwrap(), "there is none");
        assert_eq!(*cache.send(Incr::by("count", 41)).await.unwrap(), 41);
        assert_eq!(*cache.send(Incr::new("count")).await.unwrap(), 42);
        assert_eq!(*cache.send(Get::<u32>::new("count")).await.unwrap(), Some(42));
        let all = cache.send(MGet::<String>::new(["user", "none", "count"])).await.unwrap();
        assert_eq!(*all, [Some("ann".to_owned()), None, Some("42".to_owned())]);
        assert!(*cache.send(Expire::new("count", Duration::from_secs(1))).await.unwrap());
        assert!(!*cache.send(Expire::new("none", Duration::from_secs(1))).await.unwrap());
        assert_eq!(*cache.send(Del::all(["user", "none"])).await.unwrap(), 1);
        subject.end().await;
    });
}

#[test]
fn hashes_are_set_read_and_deleted() {
    run(async {
        let redis = RedisServer::start().await;
        let subject = Subject::at(&redis.url()).await;
        let cache = &subject.cache;
        assert_eq!(*cache.send(HSet::new("user:7", "name", "ann").and("age", 40)).await.unwrap(), 2);
        assert_eq!(*cache.send(HGet::<u8>::new("user:7", "age")).await.unwrap(), Some(40));
        assert_eq!(*cache.send(HGet::<u8>::new("user:7", "none")).await.unwrap(), None);
        let whole = cache.send(HGetAll::<String>::new("user:7")).await.unwrap();
        assert_eq!(
            *whole,
            HashMap::from([("name", "ann"), ("age", "40")].map(|(k, v)| (k.into(), v.into())))
        );
        assert_eq!(*cache.send(HDel::new("user:7", "age").and("none")).await.unwrap(), 1);
        subject.end().await;
    });
}

#[test]
fn several_commands_are_one_piece() {
    run(async {
        let redis = RedisServer::start().await;
        let subject = Subject::at(&redis.url()).await;
        let cache = &subject.cache;
        let pipeline = Pipeline::<(bool, Option<String>, i64)>::new()
            .and(Set::new("user", "ann"))
            .and(Get::<String>::new("user"))
            .and(Incr::new("count"));
        assert_eq!(*cache.send(pipeline).await.unwrap(), (true, Some("ann".to_owned()), 1));
        let transaction = Transaction::<(i64, i64)>::new().and(Incr::new("count")).and(Incr::by("count", 10));
        assert_eq!(*cache.send(transaction).await.unwrap(), (2, 12));

        // One that fails when it is carried out says which; the others are done.
        let wrong = Pipeline::<seawall_redis::Value>::new().and(Incr::new("user")).and(Incr::new("count"));
        let failed = failure(cache.send(wrong).await);
        assert_eq!((failed.blame(), failed.has_reached()), (Blame::Caller, Reached::Yes));
        assert!(failed.to_string().contains("command 1"), "{failed}");
        assert_eq!(redis.cli(&["GET", "count"]), "13");

        // One that the server does not take ends the whole transaction.
        let unknown = Command::<()>::new("NOSUCH").arg("canary");
        let wrong = Transaction::<seawall_redis::Value>::new().and(Incr::new("count")).and(unknown);
        let failed = failure(cache.send(wrong).await);
        assert_eq!(failed.get_code(), Some("EXECABORT"));
        assert!(!format!("{failed:?}").contains("canary"), "{failed:?}");
        assert_eq!(redis.cli(&["GET", "count"]), "13");
        subject.end().await;
    });
}

#[test]
fn a_script_is_sent_in_full_once() {
    run(async {
        let redis = RedisServer::start().await;
        let subject = Subject::at(&redis.url()).await;
        let script =
            || Script::<i64>::new("return redis.call('INCRBY', KEYS[1], ARGV[1])").key("count").arg(2);
        for sum in [2, 4, 6] {
            assert_eq!(*subject.cache.send(script()).await.unwrap(), sum);
        }
        let stats = redis.cli(&["INFO", "commandstats"]);
        assert!(stats.contains("cmdstat_eval:calls=1,"), "{stats}");
        redis.cli(&["SCRIPT", "FLUSH"]);
        assert_eq!(*subject.cache.send(script()).await.unwrap(), 8, "it is sent in full again");
        subject.end().await;
    });
}

#[test]
fn arguments_stay_one_whatever_is_in_them() {
    run(async {
        let redis = RedisServer::start().await;
        let subject = Subject::at(&redis.url()).await;
        let cache = &subject.cache;
        for evil in ["", " ", "x EX 1", "x\r\n*1\r\n$8\r\nFLUSHALL\r\n", "\0", "$-1\r\n", "ключ"] {
            cache.send(Set::new(evil, evil)).await.unwrap();
            assert_eq!(cache.send(Get::<String>::new(evil)).await.unwrap().as_deref(), Some(evil));
        }
        let bytes: Vec<u8> = (0..=255).collect();
        cache.send(Set::new(Bytes(bytes.clone()), &bytes)).await.unwrap();
        assert_eq!(*cache.send(Get::<Vec<u8>>::new(&bytes)).await.unwrap(), Some(bytes));
        assert_eq!(redis.cli(&["DBSIZE"]), "8");
        subject.end().await;
    });
}

#[test]
fn what_changes_the_connection_is_refused() {
    run(async {
        let redis = RedisServer::start().await;
        let subject = Subject::at(&redis.url()).await;
        for name in ["SELECT", "subscribe", "MULTI", "WATCH", "CLIENT"] {
            let failed = failure(subject.cache.send(Command::<()>::new(name).arg("1")).await);
            assert_eq!((failed.blame(), failed.has_reached()), (Blame::Caller, Reached::No), "{name}");
            assert!(failed.to_string().starts_with(&name.to_ascii_uppercase()), "{failed}");
        }
        let waits = Pipeline::<()>::new().and(Command::<()>::new("BLPOP").arg("queue").arg(0));
        assert_eq!(failure(subject.cache.send(waits).await).get_code(), Some("command"));
        subject.end().await;
    });
}

#[test]
fn a_read_may_be_kept_until_a_write_invalidates_it() {
    run(async {
        let redis = RedisServer::start().await;
        let subject = Subject::at(&redis.url()).await;
        let cache = &subject.cache;
        redis.cli(&["SET", "user:7", "7"]);
        let get = async || {
            let answer = cache.send(Get::<String>::new("user:7").cached().tagged("user:7")).await.unwrap();
            (answer.origin(), answer.into_inner().unwrap())
        };
        assert_eq!(get().await, (Origin::Fresh, "7".to_owned()));
        redis.cli(&["SET", "user:7", "8"]);
        assert_eq!(get().await, (Origin::Cached, "7".to_owned()));
        // Asked for as another type it is another reply.
        let number = cache.send(Get::<u32>::new("user:7").cached()).await.unwrap();
        assert_eq!((number.origin(), number.into_inner()), (Origin::Fresh, Some(8)));
        cache.send(Set::new("user:7", "9").invalidating("user:7")).await.unwrap();
        assert_eq!(get().await, (Origin::Fresh, "9".to_owned()));
        subject.end().await;
    });
}

#[test]
fn only_what_may_be_made_twice_says_so() {
    use seawall::Call;
    let traits = |call: &dyn Fn() -> CallTraits| call().idempotent;
    assert!(traits(&|| Call::<Redis>::traits(&Get::<()>::new("k"))));
    assert!(traits(&|| Call::<Redis>::traits(&Set::new("k", "v"))));
    assert!(!traits(&|| Call::<Redis>::traits(&Set::new("k", "v").if_absent())));
    assert!(!traits(&|| Call::<Redis>::traits(&Incr::new("k"))));
    assert!(!traits(&|| Call::<Redis>::traits(&Command::<()>::new("GET"))));
    assert!(traits(&|| Call::<Redis>::traits(&Command::<()>::new("GET").idempotent())));
    assert!(traits(&|| Call::<Redis>::traits(&Pipeline::<()>::new().and(Get::<()>::new("k")))));
    let mixed = || Pipeline::<()>::new().and(Get::<()>::new("k")).and(Incr::new("k"));
    assert!(!traits(&|| Call::<Redis>::traits(&mixed())));
}

#[test]
fn an_answer_of_another_type_is_the_callers_fault() {
    run(async {
        let redis = RedisServer::start().await;
        let subject = Subject::at(&redis.url()).await;
        redis.cli(&["SET", "user", "canary"]);
        let failed = failure(subject.cache.send(Get::<u32>::new("user")).await);
        assert_eq!((failed.blame(), failed.get_code()), (Blame::Caller, Some("decode")));
        assert!(!format!("{failed:?}").contains("canary"), "{failed:?}");
        subject.end().await;
    });
}
