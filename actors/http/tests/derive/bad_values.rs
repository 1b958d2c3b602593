use seawall_http::HttpCall;

#[derive(HttpCall)]
#[http(get = "/users", reply = u64, timeout = "20")]
struct A {}

#[derive(HttpCall)]
#[http(get = "/users", reply = u64, cache(ttl = "5 parsecs"))]
struct B {}

#[derive(HttpCall)]
#[http(get = "/users", reply = u64, priority = "urgent")]
struct C {}

#[derive(HttpCall)]
#[http(get = "/users", reply = u64, cache(per = tennant))]
struct D {}

#[derive(HttpCall)]
#[http(get = "/users", reply = u64, header("Host" = "evil"))]
struct E {}

fn main() {}
