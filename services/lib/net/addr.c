#include "net/internal.h"

#include <arpa/inet.h>
#include <string.h>

static uint8_t unmap(uint8_t addr[16])
{
        struct in6_addr a6;
        memcpy(&a6, addr, 16);
        if (!IN6_IS_ADDR_V4MAPPED(&a6))
                return 16;
        memmove(addr, addr + 12, 4);
        memset(addr + 4, 0, 12);
        return 4;
}

uint8_t addr_parse(const char *text, uint8_t ret[16])
{
        memset(ret, 0, 16);
        if (!text)
                return 0;
        if (inet_pton(AF_INET, text, ret) == 1)
                return 4;
        if (inet_pton(AF_INET6, text, ret) == 1)
                return unmap(ret);
        memset(ret, 0, 16);
        return 0;
}

uint8_t addr_of_sockaddr(const struct sockaddr_storage *ss, uint8_t ret[16])
{
        memset(ret, 0, 16);
        if (ss->ss_family == AF_INET) {
                memcpy(ret, &((const struct sockaddr_in *)(const void *)ss)->sin_addr, 4);
                return 4;
        }
        if (ss->ss_family == AF_INET6) {
                memcpy(ret, &((const struct sockaddr_in6 *)(const void *)ss)->sin6_addr, 16);
                return unmap(ret);
        }
        return 0;
}

void addr_text(const uint8_t *addr, uint8_t addr_n, char ret[CONN_ADDR_TEXT])
{
        ret[0] = '\0';
        if (addr_n == 4)
                (void)inet_ntop(AF_INET, addr, ret, CONN_ADDR_TEXT);
        else if (addr_n == 16)
                (void)inet_ntop(AF_INET6, addr, ret, CONN_ADDR_TEXT);
}
