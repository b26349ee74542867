"""Certificate authorities for fleets and tests, made by openssl: real keys and certificates of no worth.

An authority is a few files NAME.* in a folder, which also holds what it signs.
"""

import os
import subprocess

# The section "client" or "server" of it says what a certificate is for.
CONFIG = """[ca]
default_ca=d
[d]
database={name}.index
serial={name}.serial
new_certs_dir=.
certificate={name}.pem
private_key={name}.key
default_md=sha256
policy=p
default_crl_days=2
unique_subject=no
[p]
commonName=supplied
[client]
extendedKeyUsage=clientAuth
[server]
extendedKeyUsage=serverAuth
subjectAltName=IP:127.0.0.1
"""
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def openssl(folder, *args):
    subprocess.run(["openssl", *args], cwd=folder, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def make_ca(folder, name):
    """NAME.pem, NAME.key and what openssl keeps beside them."""
    openssl(folder, "req", "-x509", *NEW_KEY, "-days", "2", "-subj", f"/CN={name}", "-keyout",
            f"{name}.key", "-out", f"{name}.pem")
    for kind, text in (("cnf", CONFIG.format(name=name)), ("index", ""), ("serial", "01\n")):
        with open(os.path.join(folder, f"{name}.{kind}"), "w", encoding="ascii") as file:
            file.write(text)


def make_cert(folder, ca, name, usage, start="20200101000000Z", end="20400101000000Z", subject=None,
              names=None):
    """`usage` is a section of the CA's file; with `names` (a subjectAltName) it is made for this one."""
    openssl(folder, "req", "-new", *NEW_KEY, "-subj", subject or f"/CN={name}", "-keyout",
            f"{name}.key", "-out", f"{name}.csr")
    if names:
        with open(os.path.join(folder, f"{ca}.cnf"), "a", encoding="ascii") as file:
            file.write(f"[{name}]\nextendedKeyUsage=clientAuth\nsubjectAltName={names}\n")
        usage = name
    openssl(folder, "ca", "-batch", "-config", f"{ca}.cnf", "-extensions", usage, "-startdate", start,
            "-enddate", end, "-in", f"{name}.csr", "-out", f"{name}.pem", "-notext")


def make_crl(folder, ca, *options):
    """CA.crl, put in its place at once as a whole; `options` of openssl ca -gencrl."""
    openssl(folder, "ca", "-config", f"{ca}.cnf", "-gencrl", "-out", f"{ca}.crl.new", *options)
    os.rename(os.path.join(folder, f"{ca}.crl.new"), os.path.join(folder, f"{ca}.crl"))


def revoke(folder, ca, name):
    """From the next make_crl() on."""
    openssl(folder, "ca", "-config", f"{ca}.cnf", "-revoke", f"{name}.pem")
