"""Who is asking, and what they may see. Closed by default: without an authenticator nobody is let in.

Today one bearer token stands for one principal who sees everything. Handlers already ask every row of its
principal, so that identities with a scope of their own come in here and nowhere else.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.errors import AccessNotConfigured, NotAuthenticated


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller who has proved who they are. `enterprises` None: every enterprise, registered or not."""

    name: str
    enterprises: frozenset[str] | None = None

    def may_see(self, enterprise: str) -> bool:
        """Whether rows of that enterprise are theirs to see."""
        return self.enterprises is None or enterprise in self.enterprises

    @property
    def may_see_regions(self) -> bool:
        """Whether sums over many enterprises are theirs to see: only if every enterprise is."""
        return self.enterprises is None

    def may_decide(self, subject: str) -> bool:
        """Whether they may approve statistics, close periods and decide proposals of an enterprise or region.

        Today whoever may see it may. Roles of their own come in here.
        """
        return self.may_see(subject)

    def scope(self, wanted: str | None) -> list[str] | None:
        """Enterprises that a query is narrowed to: those wanted and allowed; None: no narrowing."""
        if wanted is not None:
            return [wanted] if self.may_see(wanted) else []
        return None if self.enterprises is None else sorted(self.enterprises)


class Authenticator(Protocol):
    """Knows callers by what they show."""

    def principal_of(self, credential: str) -> Principal | None:
        """The caller whose credential this is; None if it is nobody's."""
        ...


class TokenAuthenticator:
    """One token, one principal. Only the token's hash is held."""

    def __init__(self, token_sha256: bytes, principal: Principal) -> None:
        self._token_sha256 = token_sha256
        self._principal = principal

    @classmethod
    def for_token(cls, token: str, name: str = "token") -> TokenAuthenticator:
        """The authenticator of a token in clear, for a principal who sees everything."""
        return cls(hashlib.sha256(token.encode()).digest(), Principal(name))

    def principal_of(self, credential: str) -> Principal | None:
        """The principal if the credential is the token. Takes as long whatever the credential is."""
        shown = hashlib.sha256(credential.encode("utf-8", "surrogatepass")).digest()
        return self._principal if hmac.compare_digest(shown, self._token_sha256) else None


_bearer = HTTPBearer(auto_error=False, bearerFormat="opaque", description="访问令牌 / access token")

Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def _authenticator(request: Request) -> Authenticator:
    authenticator: Authenticator | None = request.app.state.service.facts.authenticator
    if authenticator is None:
        raise AccessNotConfigured("请为服务配置访问令牌", "configure a token for the service")
    return authenticator


Authenticators = Annotated[Authenticator, Depends(_authenticator)]


async def current_principal(authenticator: Authenticators, credentials: Credentials) -> Principal:
    """The caller of this request.

    Raises: NotAuthenticated without a valid bearer token, AccessNotConfigured when none could be valid.
    """
    principal = authenticator.principal_of(credentials.credentials) if credentials else None
    if principal is None:
        raise NotAuthenticated("请提供有效的访问令牌", "send a valid token: Authorization: Bearer …")
    return principal


Caller = Annotated[Principal, Depends(current_principal)]
"""Parameter type of a handler that asks who is calling: all but health and the documentation."""
