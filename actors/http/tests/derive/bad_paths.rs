use seawall_http::HttpCall;

#[derive(HttpCall)]
#[http(get = "users", reply = u64)]
struct A {}

#[derive(HttpCall)]
#[http(get = "/users?page=1", reply = u64)]
struct B {}

#[derive(HttpCall)]
#[http(get = "/users/{id", reply = u64)]
struct C {
    id: u64,
}

#[derive(HttpCall)]
#[http(get = "/../admin", reply = u64)]
struct D {}

fn main() {}
