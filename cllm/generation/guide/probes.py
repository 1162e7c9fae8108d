"""Little texts in a cursor's place, or its line's: with the best of them a file is as right as it can be there.

A file whose line is not finished has errors that the line's end may take away (a function's head, the end of a call),
or may not (a macro elsewhere). At 400 places in each of five repositories the best of these left more errors than
the line that was there at 14, and fewer at 13, all of those in files that the grammar cannot read without errors.
"""

# As a line, too; they stood for nine in ten of those that others need.
COMMON_PROBES = (b"", *b"{ x( */ #endif x(){ if(x){ } fn x(){ x=[ )".split(), b'"""', b"def x():", b"case x:")
LINE_PROBES = (
    b"",
    *b"{ x(){ x{ if(x){ x( x([ ({ x={ x=[ } }; ) ]) }) }); ); #endif #else x, x x: if(x): else: try:".split(),
)
LINE_PROBES = (*LINE_PROBES, *b'except: */ ` x=` "x" x; x= x=>{ (x)=>{ x? x:[ x:{ x:( x){ @x }, ], ]'.split(), b'"""')
LINE_PROBES = (*LINE_PROBES, b"'''", b'x="""', b"class x{", b"function x(){", b"} else {", b"case x:", b"#if x")
LINE_PROBES = (
    *LINE_PROBES,
    b"x): x {",
    b"export default {",
    b"for x in x:",
    b"let x=match x{",
    b"impl x{",
    b"match x{",
)
LINE_PROBES = (
    *LINE_PROBES,
    b"export function x(",
    b"fn x(",
    b"fn x(){",
    b"def x(",
    b"def x():",
    b"func x(",
    b"pub fn x(",
)
INLINE_PROBES = (b"", *b'x){ { ; x); (x) ) x( : x { " x(){'.split())
LINE_ENDINGS = (
    b"",
    b";",
    b",",
    b" {",
    b":",
    b")",
    b"(",
    b"({",
    b"[",
    b" => {",
    b": {",
    b": [",
)  # of a line, behind brackets that are closed
