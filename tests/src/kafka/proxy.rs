//! Stands between a process and the brokers, and cuts it off: what is sent stays on the way, as with a network that is
//! gone, and arrives when it is mended. Connections are neither refused nor closed.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

const CHUNK: usize = 64 * 1024;

#[derive(Default)]
struct Way {
    is_cut: Mutex<bool>,
    mended: Condvar,
}

/// Its threads end with their connections, and with the process.
pub(super) struct Proxy(Arc<Way>);

impl Proxy {
    /// Listens at these addresses, each for a broker at the port below.
    pub(super) fn at(addresses: &str) -> Self {
        let proxy = Self(Arc::default());
        for address in addresses.split(',') {
            let (host, port) = address.rsplit_once(':').expect("host:port");
            let broker = format!("{host}:{}", port.parse::<u16>().expect("a port") - 1);
            let (listener, way) = (TcpListener::bind(address).unwrap(), Arc::clone(&proxy.0));
            thread::spawn(move || {
                for client in listener.incoming() {
                    connect(client.unwrap(), &broker, &way);
                }
            });
        }
        proxy
    }

    pub(super) fn cut(&self) {
        *self.0.is_cut.lock().unwrap() = true;
    }

    pub(super) fn mend(&self) {
        *self.0.is_cut.lock().unwrap() = false;
        self.0.mended.notify_all();
    }
}

fn connect(client: TcpStream, broker: &str, way: &Arc<Way>) {
    // A broker that is down refuses: so is its proxy's client.
    let Ok(broker) = TcpStream::connect(broker) else { return };
    for stream in [&client, &broker] {
        stream.set_nodelay(true).unwrap();
    }
    let back = (broker.try_clone().unwrap(), client.try_clone().unwrap());
    for (from, to) in [(client, broker), back] {
        let way = Arc::clone(way);
        thread::spawn(move || copy(from, to, &way));
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, way: &Way) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(read @ 1..) = from.read(&mut chunk) {
        drop(way.mended.wait_while(way.is_cut.lock().unwrap(), |is_cut| *is_cut).unwrap());
        if to.write_all(&chunk[..read]).is_err() {
            break;
        }
    }
    for stream in [from, to] {
        // The other side may have closed it already.
        let _closed = stream.shutdown(Shutdown::Both);
    }
}
