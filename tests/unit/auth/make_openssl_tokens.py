#!/usr/bin/env python3
"""Writes openssl_tokens.h: a JWKS and tokens signed by the openssl command, so that the tests do not only prove that the JWT library
agrees with itself. The private keys are thrown away. Run by hand: make_openssl_tokens.py > openssl_tokens.h"""
import base64, json, os, subprocess, tempfile


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def openssl(*args, data=None):
    return subprocess.run(["openssl", *args], input=data, check=True, capture_output=True).stdout


def der_rs(sig, size):
    """r and s of an ECDSA signature, as JWS wants them."""
    out, at = b"", 2
    for _ in range(2):
        n = sig[at + 1]
        out += sig[at + 2:at + 2 + n].lstrip(b"\0").rjust(size, b"\0")
        at += 2 + n
    return out


def sign(alg, key, text):
    with tempfile.NamedTemporaryFile() as f:
        f.write(text)
        f.flush()
        if alg == "EdDSA":
            return openssl("pkeyutl", "-sign", "-inkey", key, "-rawin", "-in", f.name)
        sig = openssl("dgst", "-sha256", "-sign", key, f.name)
        return der_rs(sig, 32) if alg == "ES256" else sig


def token(alg, kid, key, claims):
    head = b64(json.dumps({"alg": alg, "kid": kid}).encode()) + "." + b64(json.dumps(claims).encode())
    return head + "." + b64(sign(alg, key, head.encode()))


def public_jwk(alg, kid, key):
    der = openssl("pkey", "-in", key, "-pubout", "-outform", "DER")
    if alg == "ES256":
        return {"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "x": b64(der[-64:-32]), "y": b64(der[-32:])}
    if alg == "EdDSA":
        return {"kty": "OKP", "crv": "Ed25519", "kid": kid, "alg": "EdDSA", "x": b64(der[-32:])}
    n = bytes.fromhex(openssl("rsa", "-in", key, "-noout", "-modulus").decode().strip().split("=")[1])
    return {"kty": "RSA", "kid": kid, "alg": "RS256", "use": "sig", "n": b64(n), "e": "AQAB"}


def main():
    claims = {"sub": "anna", "iss": "issuer", "aud": "tern", "iat": 1700000000, "exp": 4102444800}
    kinds = {"RS256": ["genrsa", "2048"], "ES256": ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
             "EdDSA": ["genpkey", "-algorithm", "ED25519"]}
    jwks, tokens = [], {}
    with tempfile.TemporaryDirectory() as d:
        for alg, args in kinds.items():
            key, kid = os.path.join(d, alg), alg.lower() + "-1"
            with open(key, "wb") as f:
                f.write(openssl(*args))
            jwks.append(public_jwk(alg, kid, key))
            tokens[alg] = token(alg, kid, key, claims)
        rsa_pem = openssl("pkey", "-in", os.path.join(d, "RS256"), "-pubout").decode()
    print("/* Made by make_openssl_tokens.py with the openssl command; valid until 2100. */")
    quote = lambda s: '"' + s.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    wrap = lambda s: "\n        ".join(quote(s[i:i + 120]) for i in range(0, len(s), 120))
    print("static const char openssl_jwks[] =\n        " + wrap(json.dumps({"keys": jwks})) + ";")
    print("static const char openssl_rsa_pem[] =\n        " + wrap(rsa_pem) + ";")
    for alg, text in tokens.items():
        print(f"static const char openssl_{alg.lower()}[] =\n        " + wrap(text) + ";")


main()
