"""A right text of each language, with what is hard to cut: comments, texts over lines, generic types, templates."""

SOURCES: dict[str, bytes] = {
    "C": b"""#include <stdio.h>
#ifdef A
# define MAX(a, b) \\
    ((a) > (b) ? (a) : (b))
#endif
/* A comment (that holds { brackets
 * and goes on. */
typedef struct {
  int x, y[2];
} point_t;

static int f(point_t* p,
             const char* s) {
  int i;
  for (i = 0; i < 10; i++) {
    if (p->x == 'a' && s[i] != '\\0')
      return printf("%d {\\n", p->y[i]);
    else {
      p->x++;
    }
  }
  switch (i) {
    case 1:
      break;
    default:
      return -1;
  }
  do {
    i--;
  } while (i > 0);
  return (int) sizeof(*p);
}
""",
    "C++": b"""template <typename T>
class A : public B<T> {
 public:
  explicit A(int x) : x_(x) {}
  auto f() const -> std::vector<std::pair<int, T>> {
    return {{1, T()}};
  }
 private:
  int x_ = 0;
};
namespace n {
const char* s = R"(a
 { b)";
}
""",
    "Go": b"""package main

import (
\t"fmt"
)

func f(x []int, y map[string]int) (int, error) {
\tfor i, v := range x {
\t\tif v > 1 {
\t\t\tfmt.Println(`a
 { b`, i)
\t\t}
\t}
\treturn 0, nil
}
""",
    "Java": b"""package a.b;

import java.util.List;

/** A class. */
public class A<T> extends B implements C {
  private final List<String> x = new ArrayList<>();

  @Override
  public int f(int a, T b) throws E {
    try {
      return x.stream().map(y -> y + 1).count();
    } catch (E e) {
      throw e;
    }
  }
}
""",
    "JavaScript": b"""/**
 * A (comment.
 */
import { a } from './b.js';

class A extends B {
\tconstructor( x, { y = 1 } = {} ) {
\t\tsuper( x );
\t\tthis.r = /[a-z]+(/.source;
\t}
\tget z() {
\t\treturn `a ${ this.y } { x
 b`;
\t}
}
const f = async ( x ) => {
\tfor ( const y of x ) {
\t\tif ( y ) return y?.z;
\t}
};
export { A, f };
""".replace(b"(/.source", b"/.source"),
    "Python": b'''"""A module (that
is one."""
import a.b as c


@c.d
class A(B, metaclass=C):
    """A class."""

    x: int = 1

    def f(self, *y, z=None):
        if z is None:
            return [i for i in y
                    if i > 1]
        elif y:
            pass
        try:
            w = {"a": (1,
                       2)}
        except E as e:
            raise F("a {}".format(e)) from e
        else:
            return w


def g(): return """a
 ) b"""
''',
    "Rust": b"""use std::{fmt, io::Read};

/* a comment { */
#[derive(Debug)]
pub struct A<'a, T: Clone> {
    x: &'a T,
}

impl<'a, T> B for A<'a, T>
where
    T: Clone,
{
    fn f(&self, y: Option<u8>) -> Result<(), E> {
        let z = match y {
            Some(w) if w > 1 => vec![w, 2],
            _ => return Err(E::new("a
 { b")),
        };
        Ok(())
    }
}
""",
    "TypeScript": b"""import type { A } from './a';

export interface B<T extends A = A> {
  x?: (y: T) => void;
  readonly z: [string, ...number[]];
}

export function f<T>(x: T | null, ...y: Array<T>): B<T> {
  const g = (a: number): a is 1 => a === 1;
  return <B<T>>{ x: undefined };
}
""",
}
