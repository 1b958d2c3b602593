use seawall_http::HttpCall;

#[derive(HttpCall)]
#[http(get = "/users", reply = u64, body = filter)]
struct GetUsers {
    filter: String,
}

#[derive(HttpCall)]
#[http(get = "/users", reply = u64)]
struct GetUsersToo {
    #[http(body)]
    filter: String,
}

fn main() {}
