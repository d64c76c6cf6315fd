"""What a peer hears who speaks TCP and not our protocol."""

import asyncio
from contextlib import suppress


async def hears(host: str, port: int, words: bytes) -> bytes:
    """All that the other end says to these words until it hangs up."""
    reader, writer = await asyncio.open_connection(host, port)
    heard = b""
    try:
        writer.write(words)
        async with asyncio.timeout(5):
            with suppress(ConnectionResetError):
                while more := await reader.read(1):
                    heard += more
    finally:
        writer.close()
    return heard
