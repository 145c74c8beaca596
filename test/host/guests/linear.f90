! linear FILE GO: waits in the middle until GO exists; solves one linear system after the other in Fortran, with formatted output to a file and to the console.
program linear
  implicit none
  integer, parameter :: n = 60, rounds = 30
  real(8) :: a(n, n), b(n), x(n), f
  character(len=200) :: path, go
  logical :: there
  integer :: i, j, k, r
  call get_command_argument(1, path)
  call get_command_argument(2, go)
  open (unit=11, file=trim(path), form='formatted', status='replace')
  do r = 1, rounds
    there = r /= rounds/2
    do while (.not. there)
      inquire (file=trim(go), exist=there)
    end do
    do i = 1, n
      do j = 1, n
        a(i, j) = 1d0/(i + j - 1 + r)
      end do
      a(i, i) = a(i, i) + n
    end do
    b = matmul(a, [(dble(i), i=1, n)])
    do k = 1, n - 1
      do i = k + 1, n
        f = a(i, k)/a(k, k)
        a(i, k:n) = a(i, k:n) - f*a(k, k:n)
        b(i) = b(i) - f*b(k)
      end do
    end do
    do i = n, 1, -1
      x(i) = (b(i) - dot_product(a(i, i + 1:n), x(i + 1:n)))/a(i, i)
    end do
    write (11, '(a,i3,f12.6)') 'round', r, sum(x)
    print '(a,i0,a,f0.3)', 'round ', r, ' ', maxval(abs(x - [(dble(i), i=1, n)]))
  end do
  close (11)
  stop 3
end program linear
