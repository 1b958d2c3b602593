use seawall_http::HttpCall;

#[derive(HttpCall)]
#[http(get = "/users")]
struct NoReply {}

#[derive(HttpCall)]
#[http(reply = u64)]
struct NoMethod {}

#[derive(HttpCall)]
struct Nothing {}

fn main() {}
