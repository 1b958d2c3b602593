//! Whatever becomes of a call, its endpoint is left once.

use super::*;

#[test]
fn ten_thousand_calls_dropped_at_random_points_leave_nobody_busy() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked: &Asked| {
            let delay = ms(asked.serial * 7 % 40);
            match asked.serial % 11 {
                0 => Reaction::Panic.after(delay),
                1 => Reaction::Fail(down()).after(delay),
                2 => Reaction::Panic,
                3 => Reaction::Reply,
                4 => Reaction::Fail(down()),
                5 => Reaction::Hang,
                _ => Reaction::Reply.after(delay),
            }
        });
        let settings = format!(
            "{THREE}bulkhead = {{ max_in_flight = 200, max_queue = 200 }}\nrate = {{ limit = 2000 }}\nbreaker = {{ scope = \"endpoint\", reset_timeout = \"100ms\" }}"
        );
        let (runtime, users) = start(&settings, &behaviour).await;
        for round in 0_u64..100 {
            let mut calling: FuturesUnordered<_> = (0..100)
                .map(|n| {
                    let users = users.clone();
                    let patience = ms((round * 31 + n * 17) % 60);
                    async move {
                        // A write that has been sent goes on without its caller.
                        if n % 5 == 0 {
                            drop(tokio::time::timeout(patience, users.send(Change(n))).await);
                        } else {
                            drop(tokio::time::timeout(patience, users.send(Ask(n))).await);
                        }
                    }
                })
                .collect();
            while calling.next().await.is_some() {}
        }
        // Those that are finished without their callers end within their own time.
        sleep(Duration::from_secs(10)).await;
        assert!(behaviour.attempts() > 2_000, "{}", behaviour.attempts());
        let health = health(&runtime);
        assert!(health.iter().all(|one| one.outstanding == 0), "{health:?}");
        end(runtime).await;
    });
}

/// Real threads, so that what they share is shared indeed.
#[test]
fn threads_lose_no_outcome_of_an_endpoint() {
    let tokio =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("tokio");
    tokio.block_on(async {
        let behaviour = Behaviour::new(|asked: &Asked| match asked.serial % 3 {
            0 => Reaction::Fail(Failure::new(Blame::Downstream, "no").symptom(Symptom::Response)),
            _ => Reaction::Reply,
        });
        let settings =
            "[services.users]\nkind = \"scripted\"\nendpoints = [\"a\", \"b\", \"c\"]\nbreaker = false";
        let runtime = Runtime::builder()
            .kind::<Scripted>()
            .extension("users", behaviour.clone())
            .parse(settings)
            .expect("it is TOML")
            .start()
            .await
            .expect("it is right");
        let users: Service<Scripted> = runtime.service("users").expect("it is there");
        let calling: Vec<_> = (0..8)
            .map(|caller| {
                let users = users.clone();
                tokio::spawn(async move {
                    for id in 0..300 {
                        let _ = users.send(Ask(caller * 1_000 + id)).await;
                    }
                })
            })
            .collect();
        for caller in calling {
            caller.await.expect("it does not panic");
        }
        assert_eq!(attempts(&runtime).iter().sum::<u64>(), behaviour.attempts());
        assert!(health(&runtime).iter().all(|one| one.outstanding == 0), "{:?}", health(&runtime));
        assert!(health(&runtime).iter().filter(|one| one.ejected_for_ms.is_some()).count() <= 1);
        assert_eq!(runtime.drain().await.cut_off, 0);
    });
}
