use seawall_http::HttpCall;

#[derive(HttpCall)]
#[http(get = "/users/{user_id}", reply = u64, cache(tags("user:{name}")))]
struct GetUser {
    userid: u64,
}

fn main() {}
