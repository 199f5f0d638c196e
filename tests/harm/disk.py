#!/usr/bin/python3
"""A disk whose power can be cut: one file on FUSE, `<folder>/disk`, over an image.

What is written stays in a volatile cache, by blocks of 4 KiB, until the file is synced, as a drive does between two FLUSH
commands. Orders come by standard input, one a line, each answered by one line:

  cut KEEP SEED   each block that was not flushed reaches the image with probability KEEP; nothing is done any more
  flush fail|work syncs fail with EIO, and what they should have flushed stays volatile
  write fail|work writes fail with EIO
  slow MS         every write and sync takes so much longer
"""

import errno
import os
import random
import stat
import sys

import pyfuse3
import trio

BLOCK = 4096
NAME, INODE = b"disk", 2


class Disk(pyfuse3.Operations):
    def __init__(self, image):
        super().__init__()
        self.image = os.open(image, os.O_RDWR)
        self.size = os.fstat(self.image).st_size
        self.volatile = {}
        self.dead = False
        self.flush_fails = self.write_fails = False
        self.delay = 0.0

    # What the orders do.

    def cut(self, keep, seed):
        self.dead = True
        dice = random.Random(seed)
        kept = [at for at in sorted(self.volatile) if dice.random() < keep]
        for at in kept:
            os.pwrite(self.image, self.volatile[at], at * BLOCK)
        os.fsync(self.image)
        return f"cut: {len(self.volatile)} blocks were not flushed, {len(kept)} are kept"

    def obey(self, order):
        match order.split():
            case ["cut", keep, seed]:
                return self.cut(float(keep), int(seed))
            case ["flush", how]:
                self.flush_fails = how == "fail"
            case ["write", how]:
                self.write_fails = how == "fail"
            case ["slow", ms]:
                self.delay = int(ms) / 1000
            case _:
                return f"unknown order: {order}"
        return "done"

    # What the kernel asks for.

    def refuse_when(self, so):
        if self.dead or so:
            raise pyfuse3.FUSEError(errno.EIO)

    def block(self, at):
        known = self.volatile.get(at)
        if known is None:
            known = os.pread(self.image, BLOCK, at * BLOCK).ljust(BLOCK, b"\0")
        return known

    async def getattr(self, inode, ctx=None):
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = inode
        is_root = inode == pyfuse3.ROOT_INODE
        entry.st_mode = stat.S_IFDIR | 0o755 if is_root else stat.S_IFREG | 0o600
        entry.st_size = 0 if is_root else self.size
        entry.attr_timeout = entry.entry_timeout = 3600
        return entry

    async def lookup(self, parent, name, ctx=None):
        if name != NAME:
            raise pyfuse3.FUSEError(errno.ENOENT)
        return await self.getattr(INODE)

    async def opendir(self, inode, ctx):
        return inode

    async def readdir(self, handle, start, token):
        if start == 0:
            pyfuse3.readdir_reply(token, NAME, await self.getattr(INODE), 1)

    async def setattr(self, inode, attr, fields, handle, ctx):
        return await self.getattr(inode)

    async def open(self, inode, flags, ctx):
        # Without the kernel's cache in between, which would flush by itself.
        return pyfuse3.FileInfo(fh=inode, direct_io=True, keep_cache=False)

    async def read(self, handle, offset, length):
        self.refuse_when(False)
        end = min(self.size, offset + length)
        first = offset // BLOCK
        data = b"".join(self.block(at) for at in range(first, -(-end // BLOCK)))
        return data[offset - first * BLOCK : end - first * BLOCK]

    async def write(self, handle, offset, data):
        if self.delay:
            await trio.sleep(self.delay)
        self.refuse_when(self.write_fails)
        done = 0
        while done < len(data):
            at, inside = divmod(offset + done, BLOCK)
            piece = bytes(data[done : done + BLOCK - inside])
            if len(piece) < BLOCK:
                old = self.block(at)
                piece = old[:inside] + piece + old[inside + len(piece) :]
                done += BLOCK - inside if inside + len(data) - done >= BLOCK else len(data) - done
            else:
                done += BLOCK
            self.volatile[at] = piece
        return len(data)

    async def fsync(self, handle, only_data):
        if self.delay:
            await trio.sleep(self.delay)
        self.refuse_when(self.flush_fails)
        for at, data in self.volatile.items():
            os.pwrite(self.image, data, at * BLOCK)
        self.volatile.clear()

    async def flush(self, handle):
        pass

    async def release(self, handle):
        pass


async def orders(disk):
    source = trio.lowlevel.FdStream(os.dup(0))
    rest = b""
    async for data in source:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            print(disk.obey(line.decode()), flush=True)
    # Whoever gave them is gone.
    os._exit(0)


async def serve(disk):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(orders, disk)
        print("ready", flush=True)
        await pyfuse3.main()
        nursery.cancel_scope.cancel()


def main():
    folder, image = sys.argv[1:]
    disk = Disk(image)
    pyfuse3.init(disk, folder, set(pyfuse3.default_options) | {"fsname=daybook-disk"})
    try:
        trio.run(serve, disk)
    finally:
        pyfuse3.close(unmount=False)


main()
