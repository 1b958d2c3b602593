//! What a reload does to services that are called.

use std::{fs, path::PathBuf};

use futures_util::future::join_all;
use seawall::{Failure, Runtime, Service, call::Reason, downstream::Blame, runtime::ReloadError};
use seawall_testkit::{Ask, Behaviour, Lookup, Reaction, Scripted, virtual_time};
use tokio::time::Instant;

use crate::support::{down, end, ms, replies, settle};

/// Settings in a directory of the test's own, gone with it.
pub(crate) struct Files(PathBuf);

impl Files {
    pub(crate) fn new(test: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("seawall-{}-{test}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        Self(directory)
    }

    pub(crate) fn write(&self, settings: &str) {
        fs::write(self.0.join("default.toml"), settings).expect("a file");
    }

    pub(crate) async fn start(&self, behaviour: &Behaviour) -> (Runtime, Service<Scripted>) {
        let runtime = Runtime::builder()
            .kind::<Scripted>()
            .extension("users", behaviour.clone())
            .extension("orders", behaviour.clone())
            .load(&self.0)
            .expect("it is TOML")
            .current_thread()
            .start()
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let users = runtime.service("users").expect("there");
        (runtime, users)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) const USERS: &str = "[services.users]\nkind = \"scripted\"\n";

#[test]
fn what_did_not_change_keeps_its_pool_and_state() {
    virtual_time(async || {
        let files = Files::new("same");
        files.write(USERS);
        let behaviour = replies();
        let (runtime, users) = files.start(&behaviour).await;
        users.send(Lookup(1)).await.expect("loaded");
        behaviour.react(|asked| if asked.call == "Ask" { Reaction::Fail(down()) } else { Reaction::Reply });
        users.send(Ask(1)).await.expect_err("it fails");
        files.write(&format!("{USERS}timeout = \"7s\""));
        assert_eq!(runtime.reload().expect("they are right").generation, 2);
        settle().await;
        assert_eq!(users.send(Lookup(1)).await.expect("kept").serial, 1);
        let snapshot = runtime.snapshot();
        let breaker = snapshot.services[0].breaker.expect("it has one");
        assert_eq!((breaker.calls, breaker.failures), (3, 2));
        assert_eq!(behaviour.opened(), 1);
        let explained = runtime.explain_settings("users").expect("there").to_string();
        assert!(explained.contains("timeout = \"7s\""), "{explained}");
        end(runtime).await;
    });
}

#[test]
fn a_changed_address_opens_another_pool() {
    virtual_time(async || {
        let files = Files::new("address");
        files.write(USERS);
        let behaviour = replies();
        let (runtime, users) = files.start(&behaviour).await;
        users.send(Ask(1)).await.expect("it answers");
        files.write(&format!("{USERS}address = \"elsewhere\""));
        runtime.reload().expect("they are right");
        settle().await;
        users.send(Ask(1)).await.expect("it answers");
        assert_eq!((behaviour.opened(), behaviour.closed()), (2, 1));
        end(runtime).await;
    });
}

#[test]
fn bad_settings_change_nothing_and_say_where_they_are_wrong() {
    virtual_time(async || {
        let files = Files::new("bad");
        files.write(USERS);
        let (runtime, users) = files.start(&replies()).await;
        for bad in ["", "[services.users", "[services.users]\nkind = \"scripted\"\ntimeout = 5"] {
            files.write(bad);
            let Err(ReloadError::Config(errors)) = runtime.reload() else { panic!("{bad} was taken") };
            assert!(errors.to_string().contains("default.toml"), "{errors}");
        }
        users.send(Ask(1)).await.expect("the old ones are in force");
        assert_eq!(runtime.snapshot().reloads_refused, 3);
        end(runtime).await;
    });
}

#[test]
fn services_come_and_go() {
    virtual_time(async || {
        let files = Files::new("come");
        files.write(USERS);
        let behaviour = replies();
        let (runtime, users) = files.start(&behaviour).await;
        files.write("[services.orders]\nkind = \"scripted\"");
        let reloaded = runtime.reload().expect("they are right");
        assert_eq!((&*reloaded.added[0], &*reloaded.removed[0]), ("orders", "users"));
        let error = users.send(Ask(1)).await.expect_err("it is gone");
        assert!(matches!(error.reason(), Some(Reason::Removed)), "{error:?}");
        let orders = runtime.service::<Scripted>("orders").expect("it is new");
        orders.send(Ask(1)).await.expect("it answers");
        end(runtime).await;
    });
}

#[test]
fn a_measured_limit_outlives_a_reload_and_hands_out_places_when_it_is_turned_off() {
    virtual_time(async || {
        let files = Files::new("measured");
        let adaptive = "bulkhead = { adaptive = { initial = 20 } }";
        files.write(&format!("{USERS}retry = false\n{adaptive}"));
        let full = Failure::new(Blame::Overload, "it has enough to do");
        let behaviour = Behaviour::new(move |_| Reaction::Fail(full.clone()).after(ms(10)));
        let (runtime, users) = files.start(&behaviour).await;
        let limit = || runtime.snapshot().services[0].bulkhead.map(|bulkhead| bulkhead.max_in_flight);
        users.send(Ask(1)).await.expect_err("it is refused");
        assert_eq!(limit(), Some(18));
        files.write(&format!("{USERS}retry = false\ntimeout = \"5s\"\n{adaptive}"));
        runtime.reload().expect("they are right");
        assert_eq!(limit(), Some(18), "as it was");

        behaviour.react(|_| Reaction::Reply.after(ms(100)));
        let calls = join_all((0..30).map(|call| users.send(Ask(call))));
        let reloaded = async {
            tokio::time::sleep(ms(50)).await;
            files.write(&format!("{USERS}bulkhead = {{ max_in_flight = 30 }}"));
            runtime.reload().expect("they are right");
            (limit(), runtime.snapshot().services[0].bulkhead.map(|bulkhead| bulkhead.waiting))
        };
        let began = Instant::now();
        let (results, (limit, waiting)) = tokio::join!(calls, reloaded);
        assert!(results.iter().all(Result::is_ok));
        assert_eq!((limit, waiting), (Some(30), Some(0)));
        assert_eq!(began.elapsed(), ms(150), "who waited went at once");
        end(runtime).await;
    });
}
