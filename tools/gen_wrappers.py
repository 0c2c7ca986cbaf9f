#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""gen_wrappers.py TABLE HEADER SOURCE NAMES

Reads the table of libc's entry points (src/inject/preload/symbols.def says how a row is written)
and makes
  HEADER  declarations of next_NAME (the definition behind us) and of the functions that hand-written
          code supplies: lead_NAME, live_NAME, do_NAME, syscall_NAME;
  SOURCE  the exported wrappers, the next_NAME pointers, and the switch behind syscall(2);
  NAMES   the exported names, one on a line.

A next_NAME pointer begins at a function that looks all of them up and goes on, so a call that
comes before our constructor works, and the wrappers need no test.
"""
import re
import sys

PROTOTYPE = re.compile(r'^(?P<type>.*?[\s*])(?P<name>\w+)\((?P<args>.*)\)$')


class Row:
    def __init__(self, kind, text, where):
        self.kind = kind
        self.numbers = []
        self.paths = []
        self.result = None
        self.frozen = None
        self.memory = None
        self.stores = False
        self.input = None
        self.after = None
        text, *attributes = text.split(';')
        for attribute in attributes:
            key, _, value = attribute.strip().partition('=')
            if key == 'nr':
                self.numbers = value.split(',')
            elif key in ('memory', 'stores'):
                self.memory = value
                self.stores = key == 'stores'
            elif key == 'reads':
                self.memory, _, self.input = value.partition('@')
            elif key == 'after':
                self.after = value
            elif key == 'frozen' and value in ('old', 'new'):
                self.frozen = value
            else:
                sys.exit(f'{where}: nr=, memory=, stores=, reads=, after=, frozen=old or frozen=new expected, not {attribute}')
        # The prototype ends at the parenthesis that closes its first one.
        end = text.index(')') + 1
        rest = text[end:].strip()
        text = text[:end].strip()
        if kind == 'number':
            text = 'long ' + text
        match = PROTOTYPE.match(text)
        if not match:
            sys.exit(f'{where}: not a prototype: {text}')
        self.type = match['type'].strip()
        self.name = match['name']
        args = match['args'].strip()
        self.args = [] if args == 'void' else [self.argument(a, where) for a in args.split(',')]
        if rest.startswith('='):
            self.result = rest[1:].strip()
        elif rest.startswith(':'):
            for path in rest[1:].split():
                dirfd, slash, name = path.rpartition('/')
                self.paths.append((dirfd if slash else 'AT_FDCWD', name))
        elif rest:
            sys.exit(f'{where}: what is {rest}?')
        needs = {'path': self.paths, 'lead': self.paths, 'ours': self.result,
                 'plain': self.memory}
        if kind in needs and not needs[kind]:
            sys.exit(f'{where}: incomplete')

    @staticmethod
    def argument(text, where):
        match = re.match(r'^(.*?[\s*])(\w+)$', text.strip())
        if not match:
            sys.exit(f'{where}: not an argument: {text}')
        return match[1].strip(), match[2]

    def parameters(self):
        return ', '.join(f'{t}{"" if t.endswith("*") else " "}{n}' for t, n in self.args) or 'void'

    def names(self, replace=None):
        return ', '.join((replace or {}).get(n, n) for _, n in self.args)

    def declare(self, prefix, name=None):
        space = '' if self.type.endswith('*') else ' '
        return f'{self.type}{space}{prefix}{name or self.name}({self.parameters()})'

    def void(self):
        return self.type == 'void'


def read_table(path):
    rows, aliases = [], []
    with open(path, encoding='ascii') as table:
        for number, line in enumerate(table, 1):
            line = line.split('#')[0].strip()
            if not line:
                continue
            kind, text = line.split(None, 1)
            where = f'{path}:{number}'
            if kind == 'alias':
                names, _, target = text.partition('=')
                row = next((r for r in rows if r.name == target.strip() and r.kind != 'number'),
                           None)
                if not row:
                    sys.exit(f'{where}: no such target')
                aliases += [(name, row) for name in names.split()]
            elif kind in ('path', 'lead', 'ours', 'live', 'call', 'plain', 'number'):
                rows.append(Row(kind, text, where))
            else:
                sys.exit(f'{where}: unknown kind {kind}')
    return rows, aliases


def header(rows):
    out = ['/* Made by tools/gen_wrappers.py from symbols.def. */',
           '#ifndef STANDIN_PRELOAD_NEXT_H', '#define STANDIN_PRELOAD_NEXT_H',
           '#include "inject/preload/preload.h"', '']
    for row in rows:
        if row.kind == 'number':
            out.append(row.declare('syscall_') + ';')
            continue
        out.append(f'extern {row.type} (*next_{row.name})({row.parameters()});')
        prefix = {'lead': 'lead_', 'live': 'live_', 'call': 'do_'}.get(row.kind)
        if prefix:
            out.append(row.declare(prefix) + ';')
    out += ['', 'enum {']
    functions = [r for r in rows if r.kind != 'number']
    out += [f'\tNEXT_{row.name},' for row in functions]
    out += ['\tNEXT_COUNT', '};', '#endif', '']
    return '\n'.join(out)


def failure(row):
    """What a function returns that libc does not have."""
    if row.void():
        return ''
    if row.name in ('mmap', 'mremap'):
        return ' return MAP_FAILED;'
    if row.type.endswith('*'):
        return ' return NULL;'
    return f' return ({row.type})-1;'


def function(row):
    ret = '' if row.void() else 'return '
    go_on = f'next_{row.name}({row.names()})'
    if row.memory:
        pointer, slash, size = row.memory.partition('/')
        kind = '' if slash else 'vector_'
        if not slash:
            pointer, _, size = row.memory.rstrip(']').partition('[')
        given = f'{pointer}, (size_t)({size})'
        if row.input:
            offset, _, flags = row.input.partition(',')
            go_on = f'WITH_INPUT({go_on}, {offset}, {flags or 0}, input_{kind}slow, {given})'
        else:
            stores = 'true' if row.stores else 'false'
            go_on = f'WITH_MEMORY({go_on}, reach_{kind}slow, {given}, {stores})'
    if row.after:
        go_on = f'{row.after[:-1]}, {go_on})'
    out = []
    if row.kind == 'path':
        slow = row.declare('slow_')
        out += [f'static COLD {slow}', '{']
        replace = {}
        for i, (dirfd, path) in enumerate(row.paths):
            out += [f'\tstruct led led{i};']
            replace[path] = f'led{i}.path'
        for i, (dirfd, path) in enumerate(row.paths):
            out += [f'\tlead({dirfd}, {path}, &led{i});']
        if row.frozen:
            # The last path is what is made, the others are there already.
            for i in range(len(row.paths)):
                new = row.frozen == 'new' and i == len(row.paths) - 1
                out += [f'\tif (frozen(&led{i}, {"true" if new else "false"}))', '\t\treturn -1;']
        out += [f'\t{ret}next_{row.name}({row.names(replace)});', '}', '']
    out += [f'EXPORT {row.declare("wrap_")} __asm__("{row.name}");',
            f'{row.declare("wrap_")}', '{']
    if row.kind in ('path', 'lead'):
        test = ' && '.join(f'!suspect({d}, {p})' for d, p in row.paths)
        away = {'path': 'slow_', 'lead': 'lead_'}[row.kind]
        out += [f'\tif (likely({test}))', f'\t\treturn {go_on};',
                f'\t{ret}{away}{row.name}({row.names()});']
    elif row.kind == 'ours':
        out += ['\tif (unlikely(fd_ours(fd))) {', '\t\tconst struct runtime *rt = live();', '',
                '\t\t(void)rt;', f'\t\treturn ({row.type})result({row.result});', '\t}',
                f'\treturn {go_on};']
    elif row.kind == 'live':
        out += ['\tif (likely(!live()))',
                f'\t\t{ret}{go_on};', *(['\telse'] if row.void() else []),
                f'\t{ret}live_{row.name}({row.names()});']
    elif row.kind == 'call':
        out += [f'\t{ret}do_{row.name}({row.names()});']
    elif row.kind == 'plain':
        out += [f'\t{ret}{go_on};']
    out += ['}', '']
    return out


def source(rows, aliases, name):
    functions = [r for r in rows if r.kind != 'number']
    out = ['/* Made by tools/gen_wrappers.py from symbols.def. */', f'#include "{name}"',
           '#include <sys/syscall.h>', '']
    for row in functions:
        ret = '' if row.void() else 'return '
        out += [f'static COLD {row.declare("early_")}', '{', '\tresolve_next();',
                f'\t{ret}next_{row.name}({row.names()});', '}',
                f'static COLD {row.declare("absent_")}', '{', f'\terrno = ENOSYS;{failure(row)}', '}',
                row.type + f' (*next_{row.name})({row.parameters()}) = early_{row.name};', '']
    out += ['const struct next_symbol next_symbols[NEXT_COUNT] = {']
    out += [f'\t{{ "{r.name}", (void **)&next_{r.name}, (void *)absent_{r.name} }},'
            for r in functions]
    out += ['};', '']
    for row in functions:
        out += function(row)
    for alias, row in aliases:
        out += [f'EXPORT {row.declare("wrap_", alias)} __asm__("{alias}") '
                f'__attribute__((alias("{row.name}")));']

    routes = []
    for row in rows:
        if row.kind == 'number':
            routes.append((row.name, f'syscall_{row.name}', row))
        routes += [(number, f'wrap_{row.name}', row) for number in row.numbers]
    out += ['', '/* The numbers with which syscall(2) comes to us. */',
            'const unsigned char syscall_routes[SYSCALL_ROUTES] = {']
    for number, _, _ in routes:
        out += [f'#ifdef SYS_{number}', f'\t[SYS_{number}] = 1,', '#endif']
    out += ['};', '',
            'long syscall_routed(long number, long a, long b, long c, long d, long e, long f)',
            '{', '\tswitch (number) {']
    for number, target, row in routes:
        given = ', '.join(f'({t}){v}' for (t, _), v in zip(row.args, 'abcdef'))
        out += [f'#ifdef SYS_{number}', f'\tcase SYS_{number}:',
                f'\t\treturn (long){target}({given});', '#endif']
    out += ['\t}', '\treturn result(-ENOSYS);', '}', '']
    return '\n'.join(out)


def main():
    table, header_path, source_path, names_path = sys.argv[1:]
    rows, aliases = read_table(table)
    names = [r.name for r in rows if r.kind != 'number'] + [a for a, _ in aliases]
    if len(set(names)) != len(names):
        sys.exit(f'{table}: a name occurs twice')
    with open(header_path, 'w', encoding='ascii') as out:
        out.write(header(rows))
    with open(source_path, 'w', encoding='ascii') as out:
        out.write(source(rows, aliases, header_path.rpartition('/')[2]))
    with open(names_path, 'w', encoding='ascii') as out:
        out.write(''.join(f'{name}\n' for name in sorted(names + ['clone', 'syscall', 'vfork'])))


if __name__ == '__main__':
    main()
