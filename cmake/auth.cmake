# What services/lib/auth links: rhonabwy for tokens and keys (why: auth.h), GnuTLS beneath it for one comparison in constant time,
# curl for JWKS URLs. libcurl4-gnutls-dev is the flavour that rhonabwy itself loads; any other works as well.
pkg_check_modules(RHONABWY REQUIRED IMPORTED_TARGET librhonabwy>=1.1.7)
pkg_check_modules(GNUTLS REQUIRED IMPORTED_TARGET gnutls>=3.6)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl>=7.85)
set(TERN_JWT_LIBS PkgConfig::RHONABWY PkgConfig::GNUTLS PkgConfig::CURL Threads::Threads m)
