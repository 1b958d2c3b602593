//! The servers of Redis: alone, followed, watched over and clustered.

use seawall_testkit::{RedisCluster, RedisSentinels, RedisServer};

#[tokio::test]
async fn one_is_killed_and_started_again_on_its_port() {
    let redis = RedisServer::start().await;
    let port = redis.addr();
    assert_eq!(redis.cli(&["SET", "user", "ann"]), "OK");
    assert_eq!(redis.cli(&["GET", "user"]), "ann");
    redis.kill();
    assert!(std::net::TcpStream::connect(port).is_err(), "it refuses");
    redis.restart().await;
    assert_eq!(redis.cli(&["GET", "user"]), "", "it is empty");
}

#[tokio::test]
async fn a_replica_follows_and_is_promoted() {
    let set = RedisSentinels::start().await;
    assert_eq!(set.primary().cli(&["SET", "user", "ann"]), "OK");
    set.replica().wait_for(&["GET", "user"], "ann").await;
    set.primary().kill();
    set.wait_for_promotion().await;
    assert_eq!(set.replica().cli(&["SET", "user", "bob"]), "OK");
}

#[tokio::test]
async fn a_slot_moves_within_a_cluster() {
    let cluster = RedisCluster::start().await;
    // The slot of "foo", which the third node has.
    let slot = 12182;
    cluster.nodes()[2].cli(&["SET", "foo", "bar"]);
    cluster.begin_migration(slot, 2, 0);
    cluster.end_migration(slot, 2, 0);
    assert_eq!(cluster.nodes()[0].cli(&["GET", "foo"]), "bar");
    assert!(cluster.nodes()[2].cli(&["GET", "foo"]).contains("MOVED"));
}
