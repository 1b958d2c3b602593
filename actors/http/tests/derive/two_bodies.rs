use seawall_http::HttpCall;

#[derive(HttpCall)]
#[http(post = "/users", reply = u64)]
struct CreateUser {
    #[http(body)]
    name: String,
    #[http(body)]
    email: String,
}

fn main() {}
