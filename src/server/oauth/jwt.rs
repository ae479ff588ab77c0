//! The assertion of a service account: a signed JSON web token that says who it is and what it wants.

use serde_json::Value;

use super::super::store::Identity;
use super::base64;
use super::clients::{Clients, Kind};
use super::error::TokenError;
use super::grants::Granted;
use super::scopes::Scopes;
use crate::clock::Timestamp;

/// An assertion may be for an hour, no longer.
const MAX_LIFE: i64 = 3600;
/// The token endpoint of the real service: Google's own libraries mean their assertions for it, wherever they send them.
const GOOGLE: &str = "https://oauth2.googleapis.com/token";
/// Clocks differ.
const SKEW: i64 = 300;

/// What an assertion grants at a server whose token endpoint is `audience`. A service account acts for itself, or, if it says
/// so, for the person of the drive: that it may is never in question, since it is that person who has its key.
pub(super) fn granted(
    clients: &Clients,
    assertion: &str,
    audience: &str,
    identity: &Identity,
    now: Timestamp,
) -> Result<Granted, TokenError> {
    let malformed = || TokenError::invalid_grant("Invalid JWT: it cannot be read.");
    let (signed, signature) = assertion.rsplit_once('.').ok_or_else(malformed)?;
    let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
    let json = |part: &str| base64::decode(part).and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let (header, claims) = json(header).zip(json(claims)).ok_or_else(malformed)?;
    let signature = base64::decode(signature).ok_or_else(malformed)?;

    if header["alg"] != "RS256" {
        return Err(TokenError::invalid_grant("Invalid JWT: it must be signed with RS256."));
    }
    let issuer = claims["iss"].as_str().and_then(|issuer| clients.find(issuer));
    let issuer = issuer.filter(|client| client.kind == Kind::Service);
    let issuer = issuer.ok_or_else(|| TokenError::invalid_grant("Invalid grant: account not found"))?;
    if !issuer.has_signed(header["kid"].as_str(), signed.as_bytes(), &signature) {
        return Err(TokenError::invalid_grant("Invalid JWT Signature."));
    }
    if claims["aud"] != audience && claims["aud"] != GOOGLE {
        return Err(TokenError::invalid_grant("Invalid JWT: the audience is not this token endpoint."));
    }
    let now = now.millis() / 1000;
    let (Some(issued), Some(expires)) = (claims["iat"].as_i64(), claims["exp"].as_i64()) else {
        return Err(TokenError::invalid_grant("Invalid JWT: it needs iat and exp."));
    };
    let is_in_time = issued <= now + SKEW && expires > now - SKEW && expires > issued && expires - issued <= MAX_LIFE;
    if !is_in_time {
        let description = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. \
                           Check your iat and exp values in the JWT claim.";
        return Err(TokenError::invalid_grant(description));
    }
    let subject = claims.get("sub").map_or(Some(&*issuer.id), Value::as_str);
    let is_possible = subject == Some(&*issuer.id) || subject == Some(&*identity.owner().email);
    let user = identity.users.iter().find(|user| is_possible && subject == Some(&*user.email));
    let user = user.ok_or_else(TokenError::unauthorized_client)?;
    let scopes = claims["scope"].as_str().and_then(Scopes::parse).filter(|scopes| !scopes.is_empty());
    let scopes = scopes.ok_or_else(TokenError::invalid_scope)?;
    Ok(Granted { client: issuer.id, user: user.no, scopes })
}
