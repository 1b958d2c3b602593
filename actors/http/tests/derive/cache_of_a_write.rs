use seawall_http::HttpCall;

#[derive(HttpCall)]
#[http(post = "/users", reply = u64, cache(ttl = "5m"))]
struct CreateUser {}

#[derive(HttpCall)]
#[http(get = "/users", reply = u64, invalidates("users"))]
struct GetUsers {}

fn main() {}
