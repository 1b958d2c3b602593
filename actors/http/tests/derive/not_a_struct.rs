use seawall_http::HttpCall;

#[derive(HttpCall)]
#[http(get = "/users", reply = u64)]
enum Enum {}

#[derive(HttpCall)]
#[http(get = "/users", reply = u64)]
struct Tuple(u64);

#[derive(HttpCall)]
#[http(get = "/users", reply = u64)]
struct Generic<T> {
    value: T,
}

fn main() {}
