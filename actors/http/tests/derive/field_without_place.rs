use seawall_http::HttpCall;

#[derive(HttpCall)]
#[http(post = "/users", reply = u64)]
struct CreateUser {
    name: String,
    email: String,
}

fn main() {}
