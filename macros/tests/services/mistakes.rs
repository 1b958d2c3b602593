use seawall_macros::Services;

#[derive(Services)]
struct Unknown {
    #[service(call(GetUser))]
    users: u8,
}

#[derive(Services)]
struct Twice {
    users: u8,
    #[service(name = "users")]
    others: u8,
}

#[derive(Services)]
struct Tuple(u8);

#[derive(Services)]
enum Enum {}

fn main() {}
