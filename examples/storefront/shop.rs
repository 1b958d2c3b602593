//! The shop: what a service built with seawall looks like.

use std::time::Duration;

use actix_web::{
    HttpResponse, get,
    web::{Data, Json, Path, ServiceConfig},
};
use seawall::{
    Answer, CallError, Failure, Origin, Service, Services,
    call::{Attempt, Call},
};
use seawall_http::{Http, HttpCall};
use serde::{Deserialize, Serialize};

/// How long the calls of one page may take, together.
const PAGE: Duration = Duration::from_millis(300);

/// Who looks at the page.
#[derive(HttpCall, Serialize)]
#[http(get = "/users/{id}", reply = User, cache(ttl = "2s", tags("user:{id}")))]
pub(crate) struct GetUser {
    id: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct User {
    id: u64,
    name: String,
}

#[derive(HttpCall, Serialize)]
#[http(get = "/prices/{product}", reply = Price, cache)]
pub(crate) struct GetPrice {
    product: u64,
}

/// What a product costs; nothing where nobody knows, and the page then says "ask".
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Price {
    cents: Option<u64>,
}

#[derive(HttpCall, Serialize)]
#[http(get = "/reviews/{product}", reply = Vec<Review>, priority = "low")]
pub(crate) struct GetReviews {
    product: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Review {
    stars: u8,
    text: String,
}

/// A call with a bug: it panics.
pub(crate) struct Haunted;

/// What it says when it does.
pub(crate) const BUG: &str = "a bug in the code of a call";

impl Call<Http> for Haunted {
    type Reply = ();

    const NAME: &'static str = "Haunted";

    async fn attempt(&self, _: &Http, _: &Attempt) -> Result<(), Failure> {
        panic!("{BUG}")
    }
}

/// The services that the shop calls.
#[derive(Clone, Services)]
pub(crate) struct Downstreams {
    #[service(calls(GetUser))]
    users: Service<Http>,
    #[service(calls(GetPrice))]
    prices: Service<Http>,
    #[service(calls(GetReviews, Haunted))]
    reviews: Service<Http>,
}

/// A page, each part with where it came from.
#[derive(Serialize)]
pub(crate) struct Page {
    user: Part<User>,
    price: Part<Price>,
    reviews: Part<Vec<Review>>,
}

#[derive(Serialize)]
pub(crate) struct Part<T> {
    origin: Origin,
    value: T,
}

impl<T: Clone + Send + Sync + 'static> From<Answer<T>> for Part<T> {
    fn from(answer: Answer<T>) -> Self {
        Self { origin: answer.origin(), value: answer.into_inner() }
    }
}

/// Mounts the shop's pages.
pub(crate) fn routes(config: &mut ServiceConfig) {
    config.service(product).service(haunted);
}

/// Without its user there is no page. Its price and reviews it can do without.
#[get("/users/{user}/products/{product}")]
async fn product(shop: Data<Downstreams>, ids: Path<(u64, u64)>) -> Result<Json<Page>, CallError> {
    let (id, product) = ids.into_inner();
    let (user, price, reviews) = seawall::within(PAGE, async {
        tokio::join!(
            shop.users.send(GetUser { id }),
            shop.prices.send(GetPrice { product }).fallback(|_| Price::default()),
            shop.reviews.send(GetReviews { product }).fallback(|_| Vec::new()),
        )
    })
    .await;
    Ok(Json(Page { user: user?.into(), price: price?.into(), reviews: reviews?.into() }))
}

/// A page with a bug in one of its calls is still a page.
#[get("/haunted")]
async fn haunted(shop: Data<Downstreams>) -> Result<HttpResponse, CallError> {
    let answer = shop.reviews.send(Haunted).fallback(|_| ()).await?;
    Ok(HttpResponse::Ok().json(Part { origin: answer.origin(), value: () }))
}
