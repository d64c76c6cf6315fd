"""A server that answers every request at once with the same bytes: what it gives is the load generator's own limit."""

import select
import socket
import sys

BODY = b'{"outputs":[]}'
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


def serve(port: int) -> None:
    """Until the process is ended. A request is what one `recv` gives: the generator sends each in one piece."""
    listening = socket.create_server(("127.0.0.1", port), backlog=512)
    poll = select.epoll()
    poll.register(listening.fileno(), select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    while True:
        for number, _ in poll.poll():
            if number == listening.fileno():
                client, _ = listening.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clients[client.fileno()] = client
                poll.register(client.fileno(), select.EPOLLIN)
            elif clients[number].recv(1 << 16):
                clients[number].sendall(REPLY)
            else:
                poll.unregister(number)
                clients.pop(number).close()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
