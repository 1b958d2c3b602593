use seawall_http::HttpCall;

#[derive(HttpCall)]
#[http(get = "/users", repply = Vec<u64>)]
struct GetUsers {}

#[derive(HttpCall)]
#[http(get = "/users", reply = Vec<u64>, cache(tll = "5m"))]
struct GetUsersToo {}

#[derive(HttpCall)]
#[http(get = "/users", reply = Vec<u64>)]
struct GetUsersOnceMore {
    #[http(qeury)]
    page: u64,
}

fn main() {}
