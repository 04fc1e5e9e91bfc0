/* Made by make_openssl_tokens.py with the openssl command; valid until 2100. */
static const char openssl_jwks[] =
        "{\"keys\": [{\"kty\": \"RSA\", \"kid\": \"rs256-1\", \"alg\": \"RS256\", \"use\": \"sig\", \"n\": \"11AiNTePMj7rZ2nbDFW079C7mhft62fZRb9sxbMQJ"
        "YYD5-CeBcxP487LgmJPz3SwjTFwAondH3ONB8a8YEw8ZInRj8sxLRnsqtGVtX8gALE8mXbqF1paz7Py0w4rxsXm_V_2JFP3hDyU9gUma3AMwNNcV1cEcL0Kq"
        "GFKMBDPSK-TbrpH8O6nTLlrHH3igJ6_lCtOVpOjF0iNficlkaYzB1jhZqAmIDAX6KLo26Cjs0xQJc8GGjoSESH9ZpCVGZHk-5FQMQXAFo-3xlKtnGuRFWVvu"
        "HtP70j5752c1VMG2b3zxSRTW4SlstdfMfjopr173VAPFOMzGb1Y1FMbZf8gYQ\", \"e\": \"AQAB\"}, {\"kty\": \"EC\", \"crv\": \"P-256\", \"kid\": \"es25"
        "6-1\", \"use\": \"sig\", \"x\": \"kUCP-hUXcdPd91rlPgC_TkeLRxczgqklCqYFQEJ0M34\", \"y\": \"oJMDREktm_BXjHNwqNQLNuEh-0DTLQ-9-19CzBJfJT"
        "k\"}, {\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"kid\": \"eddsa-1\", \"alg\": \"EdDSA\", \"x\": \"wZ9jcqhX59byrYWnlLHMPdnLHXdrzAuvtET-cyM9Tn"
        "4\"}]}";
static const char openssl_rsa_pem[] =
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA11AiNTePMj7rZ2nbDFW0\n79C7mhft62fZRb9sxbMQJYYD5+Ce"
        "BcxP487LgmJPz3SwjTFwAondH3ONB8a8YEw8\nZInRj8sxLRnsqtGVtX8gALE8mXbqF1paz7Py0w4rxsXm/V/2JFP3hDyU9gUma3AM\nwNNcV1cEcL0KqGFKMB"
        "DPSK+TbrpH8O6nTLlrHH3igJ6/lCtOVpOjF0iNficlkaYz\nB1jhZqAmIDAX6KLo26Cjs0xQJc8GGjoSESH9ZpCVGZHk+5FQMQXAFo+3xlKtnGuR\nFWVvuHtP"
        "70j5752c1VMG2b3zxSRTW4SlstdfMfjopr173VAPFOMzGb1Y1FMbZf8g\nYQIDAQAB\n-----END PUBLIC KEY-----\n";
static const char openssl_rs256[] =
        "eyJhbGciOiAiUlMyNTYiLCAia2lkIjogInJzMjU2LTEifQ.eyJzdWIiOiAiYW5uYSIsICJpc3MiOiAiaXNzdWVyIiwgImF1ZCI6ICJ0ZXJuIiwgImlhdCI6I"
        "DE3MDAwMDAwMDAsICJleHAiOiA0MTAyNDQ0ODAwfQ.x6nesz3qBI_S4vH_GozMtlqihkFWFWXGYl6kH-iAUUUx6zZM3RnQtzecd5oeEz9BO6-YcEsUWJy1qx"
        "gwWuxkPQXF6NCxsZETcQ6dgGmFUae-8Wm5IlnsZvtbIu8cYjI8SNytnbMgV0SK7T_Gm2Cvx02B6n45XJ6VBihrevr2XPe9JFXeqRaz0r5eHe75AXASrqJAxh"
        "RoBoygyJnwow9hbYPjIusXBJfARiRZBUMqwEAlGHeWV3332Q5eaojjla1NWKNRpvt6645E5OorddqOM9MokZnXKsTAOVURtTNE-j2ZaxTKZj5WXqpAlQxO9D"
        "orrmZ9FYTcLLGLsnqf80t1WA";
static const char openssl_es256[] =
        "eyJhbGciOiAiRVMyNTYiLCAia2lkIjogImVzMjU2LTEifQ.eyJzdWIiOiAiYW5uYSIsICJpc3MiOiAiaXNzdWVyIiwgImF1ZCI6ICJ0ZXJuIiwgImlhdCI6I"
        "DE3MDAwMDAwMDAsICJleHAiOiA0MTAyNDQ0ODAwfQ.S1y0ZSiJ4-3KO9t1ItB13ZumatlITjUr2Z2LX1flSzIZxeNnl4AmFUrk2plQ4FbZxcHNWbM1vANfVV"
        "S05eIyFQ";
static const char openssl_eddsa[] =
        "eyJhbGciOiAiRWREU0EiLCAia2lkIjogImVkZHNhLTEifQ.eyJzdWIiOiAiYW5uYSIsICJpc3MiOiAiaXNzdWVyIiwgImF1ZCI6ICJ0ZXJuIiwgImlhdCI6I"
        "DE3MDAwMDAwMDAsICJleHAiOiA0MTAyNDQ0ODAwfQ.wnJpGcUJ9AXnAGCHmQX1zDBlFVLyksRF8rvhhX4oJcje32Z-TQCp4ftjhL_VKkoC-a1xN7tcVmcYap"
        "UPRTvKCA";
