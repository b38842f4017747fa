# A stand-in for whatever listens somewhere: answers "hello" at these addresses, over TCP and UDP, on port 7777. With
# `dns=ADDRESS` also questions of names there: inet.test is 198.51.100.10, every other name 127.0.0.1. With `abstract=NAME`
# an abstract socket. Says "up" once all of it is there.
use strict;
use Socket qw(:all);
use IO::Select;

$SIG{PIPE} = 'IGNORE';
my ($select, %kind) = (IO::Select->new);
sub at {
    my ($address, $port, $type, $kind) = @_;
    my ($error, $found) = getaddrinfo($address, $port, { flags => AI_NUMERICHOST, socktype => $type });
    die "$address: $error\n" if $error;
    socket(my $socket, $found->{family}, $type, 0) or die "$address: $!\n";
    setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1);
    bind($socket, $found->{addr}) or die "$address: $!\n";
    $type == SOCK_STREAM and (listen($socket, 50) or die "$address: $!\n");
    $select->add($socket);
    $kind{$socket} = $kind;
}
for (@ARGV) {
    if (/^dns=(.*)/) {
        at($1, 53, SOCK_DGRAM, 'dns');
    } elsif (/^abstract=(.*)/) {
        socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or die $!;
        bind($socket, pack_sockaddr_un("\0$1")) && listen($socket, 50) or die $!;
        $select->add($socket);
        $kind{$socket} = 'tcp';
    } else {
        at($_, 7777, SOCK_STREAM, 'tcp');
        at($_, 7777, SOCK_DGRAM, 'udp');
    }
}
$| = 1;
print "up\n";
while (my @ready = $select->can_read) {
    for my $socket (@ready) {
        if ($kind{$socket} eq 'tcp') {
            accept(my $peer, $socket) or next;
            syswrite($peer, "hello\n");
            next;
        }
        my $peer = recv($socket, my $asked, 2000, 0);
        next unless defined $peer;
        if ($kind{$socket} eq 'udp') {
            send($socket, "hello\n", 0, $peer);
            next;
        }
        my ($id, $question) = (substr($asked, 0, 2), substr($asked, 12));
        my $end = index($question, "\0") + 5;
        my $type = unpack('n', substr($question, $end - 4, 2));
        my $address = $question =~ /inet/ ? '198.51.100.10' : '127.0.0.1';
        my $answer = $type == 1 ? pack('nnnNn', 0xc00c, 1, 1, 5, 4) . inet_aton($address) : '';
        send($socket, $id . pack('nnnnn', 0x8180, 1, $type == 1, 0, 0) . substr($question, 0, $end) . $answer, 0, $peer);
    }
}
