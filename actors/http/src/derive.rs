/// Makes a struct with named fields a call of an HTTP service.
///
/// ```
/// use seawall_http::HttpCall;
/// # #[derive(serde::Serialize)] struct Patch;
/// # #[derive(serde::Deserialize)] struct User;
/// # #[derive(Debug, serde::Deserialize)] struct ApiError;
/// # impl std::fmt::Display for ApiError {
/// #     fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { Ok(()) }
/// # }
/// # impl std::error::Error for ApiError {}
///
/// #[derive(HttpCall)]
/// #[http(get = "/users/{id}", reply = Option<User>, cache(ttl = "5m", per = tenant, tags("user:{id}")))]
/// struct GetUser {
///     id: u64,
///     expand: Option<bool>, // the query: `?expand=true`
/// }
///
/// #[derive(HttpCall)]
/// #[http(put = "/users/{id}", body = patch, reply = (), error = ApiError, invalidates("user:{id}"))]
/// struct PutUser {
///     id: u64,
///     patch: Patch,
///     #[http(header = "if-match")]
///     version: Option<String>,
/// }
/// ```
///
/// # At the struct: `#[http(..)]`
///
/// | attribute | meaning |
/// |---|---|
/// | `get`, `post`, `put`, `patch`, `delete = "/users/{id}"` | required: the method, and the path below the service's `url` |
/// | `reply = User` | what comes back, see below; required for GET, `()` by default for the others |
/// | `error = ApiError` | an error in JSON that the body of a 4xx or 5xx may be; it is the failure's `source()` |
/// | `name = "GetUser"` | the call's name in settings and metrics; the struct's by default |
/// | `cache`, `cache(ttl = "5m", per = tenant, stale_if_error = "1h", stale_while_revalidate = "1m", negative_ttl = "5s", tags("user:{id}"))` | the reply may be kept, under a key of all fields; of GETs only |
/// | `cache(shared)`, `cache(shared = 2)` | and by a tier that processes share, where the settings' `cache.shared` names one: as JSON, so that it implements `Serialize` too. Raise the number when its JSON means something else |
/// | `invalidates("user:{id}")` | kept replies with these tags are not served any more; not of GETs |
/// | `idempotent`, `idempotent = false` | whether it may be made twice; by default GET, PUT and DELETE may |
/// | `timeout = "20s"`, `priority = "low"` | the call's own; what the settings say of the call beats the timeout |
/// | `header("x-a" = "b", "x-tenant" = tenant)` | headers with a fixed value, or a field's |
/// | `query("v" = 2, "q" = text)` | parameters with a fixed value, or a field's |
/// | `body = patch` | the field that is the body: JSON, or as it is where its type is `Bytes` |
///
/// # At a field
///
/// Every field has a place: `{name}` in the path, `#[http(query)]`, `#[http(query = "q")]`, `#[http(header = "x-a")]` or
/// `#[http(body)]`. One that nobody placed is a parameter of the query for GET and DELETE, and a mistake for the others,
/// where it could as well be meant for the body.
///
/// Fields are written by serde, so they implement `Serialize`. In path and headers a value is one piece of text. In the
/// query a list repeats its name, a structure gives its own fields, and `None` is left out, as in a header. In the path
/// `None` and empty text are refused, as is a segment `.` or `..`: the call fails without being sent.
///
/// # Replies
///
/// | `reply =` | what it is |
/// |---|---|
/// | `User` | JSON of a 2xx |
/// | `Option<..>` | `None` for 404, 204, an empty body and `null` |
/// | [`Response<..>`](crate::Response) | the reply with its status and headers |
/// | `()` | whatever the body is |
/// | `Bytes`, `String` | the body as it is |
///
/// They are told by how they are written: a `type Found = Option<User>` is JSON, and a 404 then a failure.
pub use seawall_macros::HttpCall;

/// What derived code names. Not for people: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use seawall::{
        call::{Attempt, Cacheable, Call, CallTraits, Codec, KeyWriter, Priority, Sharing, TagWriter},
        downstream::Failure,
    };

    pub use crate::{
        codec::in_json,
        reply::{Empty, Json, Maybe, Raw, Text, Typed, Untyped, Whole},
        request::Shown,
    };
}
