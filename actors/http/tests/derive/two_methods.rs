use seawall_http::HttpCall;

#[derive(HttpCall)]
#[http(get = "/users", put = "/users", reply = u64)]
struct Both {}

fn main() {}
