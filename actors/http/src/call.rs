use awc::{
    FrozenClientRequest,
    http::{
        StatusCode, Uri,
        header::{self, HeaderValue},
        uri::Scheme,
    },
};
use seawall::{
    call::Attempt,
    downstream::{Blame, Failure, Reached, Stage},
};

use crate::{
    Decode, ErrorBody, Http, Request, RequestParts, Response, Untyped, failure, framing,
    place::Place,
    reply::{self, Coding},
    watch::Watch,
    wire::{Answer, Exchange},
};

/// How often a request is sent at most when it keeps meeting connections that the server has closed while they were
/// idle, as all of a restarted server's are.
const STALE_TRIES: u32 = 3;

impl Http {
    /// Makes a request within an attempt and decodes its answer. What derived calls do; for those written by hand.
    ///
    /// ```
    /// # use seawall_http::{Http, Json, Request};
    /// # use seawall::{call::{Attempt, Call}, Failure};
    /// # struct GetUser { id: u64 }
    /// # #[derive(serde::Deserialize)]
    /// # struct User;
    /// impl Call<Http> for GetUser {
    ///     type Reply = User;
    ///     const NAME: &'static str = "GetUser";
    ///
    ///     async fn attempt(&self, http: &Http, attempt: &Attempt) -> Result<User, Failure> {
    ///         let request = Request::get().path("/users/").segment("id", &self.id);
    ///         http.send::<Json<User>>(request, attempt).await
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// Everything that is no reply, classified as the table of this crate's documentation says.
    pub async fn send<D: Decode>(&self, request: Request, attempt: &Attempt) -> Result<D::Reply, Failure> {
        self.send_typed::<D, Untyped>(request, attempt).await
    }

    /// As [`send`](Self::send), with the body of a 4xx or 5xx that is an `E` as the failure's source.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_typed<D: Decode, E: ErrorBody>(
        &self,
        request: Request,
        attempt: &Attempt,
    ) -> Result<D::Reply, Failure> {
        let mut parts = request.into_parts(self.settings.base())?;
        parts.set_default(header::ACCEPT_ENCODING, HeaderValue::from_static(reply::ACCEPTED));
        if let Some(accept) = D::ACCEPT {
            parts.set_default(header::ACCEPT, HeaderValue::from_static(accept));
        }
        for (name, value) in self.settings.headers() {
            parts.set_default(name.clone(), value.clone());
        }
        if let Some(auth) = self.settings.auth() {
            parts.set_default(header::AUTHORIZATION, self.authorization.get(auth)?);
        }
        let Some(hook) = &self.hook else {
            return match self.exchange::<D, E>(parts, attempt).await? {
                Ended::Reply(reply) => Ok(reply),
                Ended::Failed(failure, _) => Err(failure),
            };
        };
        let mut asked = false;
        loop {
            let mut signed = parts.clone();
            hook.before(&mut signed, attempt).await?;
            match self.exchange::<D, E>(signed, attempt).await? {
                Ended::Reply(reply) => return Ok(reply),
                Ended::Failed(_, StatusCode::UNAUTHORIZED) if !asked && hook.unauthorized(attempt).await => {
                    asked = true;
                }
                Ended::Failed(failure, _) => return Err(failure),
            }
        }
    }

    /// One request and its answer; over another connection if the one at hand turns out to be closed.
    async fn exchange<D: Decode, E: ErrorBody>(
        &self,
        mut parts: RequestParts,
        attempt: &Attempt,
    ) -> Result<Ended<D::Reply>, Failure> {
        for propagated in self.settings.propagate() {
            propagated.put(&mut parts, attempt);
        }
        let idempotent = parts.is_idempotent();
        let place = self.place(attempt);
        let (request, body) = freeze(parts, place)?;
        let mut tries = 1;
        loop {
            let exchange = Exchange::new();
            let sending = exchange.send(match &body {
                Some(body) => request.send_body(body.clone()),
                None => request.send(),
            });
            match Watch::new(place, &exchange, attempt).over(sending).await {
                Ok(answer) => return self.answered::<D, E>(answer, place, attempt).await,
                Err(_)
                    if exchange.looks_stale() && (idempotent || !exchange.sent()) && tries < STALE_TRIES =>
                {
                    tries += 1;
                }
                Err(error) => return Err(failure::of_exchange(error, exchange.sent())),
            }
        }
    }

    /// An answer's head has come.
    async fn answered<D: Decode, E: ErrorBody>(
        &self,
        mut answer: Answer<impl reply::Body>,
        place: &Place,
        attempt: &Attempt,
    ) -> Result<Ended<D::Reply>, Failure> {
        let status = answer.status();
        if let Err(failure) = framing::check(status, answer.version(), answer.headers()) {
            // awc may think that it has done with the connection while the real answer is still to come on it.
            drop(answer);
            place.wires().distrust_idle();
            return Err(failure);
        }
        let limit = self.settings.max_body();
        if D::accepts(status) {
            let coding = Coding::of(answer.headers())?;
            attempt.enter(Stage::Body);
            let body = reply::read(&mut answer, limit).await?;
            let mut headers = answer.into_headers();
            coding.strip(&mut headers);
            let body = coding.decode(body, self.settings.max_decoded()).await?;
            attempt.set_reply_bytes(body.len());
            return D::decode(Response { status, headers, body }).map(Ended::Reply);
        }
        if status == StatusCode::UNAUTHORIZED {
            self.authorization.doubt();
        }
        let failed = failure::of_answer(status, answer.headers());
        let said = match E::WANTED && status.as_u16() >= 400 {
            true => reply::read_error(&mut answer, limit, self.settings.max_decoded())
                .await
                .and_then(|body| E::parse(&body)),
            false => {
                reply::drain(&mut answer).await;
                None
            }
        };
        let failed = match said {
            Some(error) => failed.caused_by(error),
            None => failed,
        };
        Ok(Ended::Failed(failed, status))
    }
}

/// The request as awc sends it, as often as need be without a copy.
fn freeze(
    parts: RequestParts,
    place: &Place,
) -> Result<(FrozenClientRequest, Option<bytes::Bytes>), Failure> {
    let unsendable = |error: &dyn std::fmt::Display| {
        Failure::new(Blame::Caller, format!("the request was not sent: {error}")).reached(Reached::No)
    };
    let mut uri = awc::http::uri::Parts::default();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(place.authority.clone());
    uri.path_and_query = Some(parts.target().clone());
    let uri = Uri::from_parts(uri).map_err(|error| unsendable(&error))?;
    let mut request = place.client.request(parts.method().clone(), uri).no_decompress();
    let (headers, body) = parts.into_headers_and_body();
    *request.headers_mut() = headers;
    request.headers_mut().insert(header::HOST, place.host.clone());
    let frozen = request.freeze().map_err(|error| unsendable(&error))?;
    Ok((frozen, body))
}

/// How an exchange ended that had an answer.
enum Ended<R> {
    Reply(R),
    Failed(Failure, StatusCode),
}
