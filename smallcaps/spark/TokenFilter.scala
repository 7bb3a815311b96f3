package smallcaps

import java.security.MessageDigest

import jakarta.servlet.{Filter, FilterChain, FilterConfig, ServletRequest, ServletResponse}
import jakarta.servlet.http.{HttpServletRequest, HttpServletResponse}

/** Spark's web pages for whoever has the token: in `?token=`, in the cookie that this leaves, or as `Authorization: Bearer`. */
class TokenFilter extends Filter {
  private var token, cookie = ""

  override def init(settings: FilterConfig): Unit = {
    token = settings.getInitParameter("token")
    require(token != null && token.nonEmpty, "spark.smallcaps.TokenFilter.param.token is not set")
    // Cookies know no ports: each token has its own.
    val digest = MessageDigest.getInstance("SHA-256").digest(token.getBytes("UTF-8"))
    cookie = s"smallcaps-${digest.take(4).map("%02x".format(_)).mkString}"
  }

  override def doFilter(request: ServletRequest, response: ServletResponse, chain: FilterChain): Unit = {
    val asked = request.asInstanceOf[HttpServletRequest]
    val answer = response.asInstanceOf[HttpServletResponse]
    val asks = Option(asked.getParameter("token"))
    val kept = Option(asked.getCookies).toSeq.flatten.filter(_.getName == cookie).map(_.getValue)
    val bears = Option(asked.getHeader("Authorization")).filter(_.startsWith("Bearer ")).map(_.drop(7))
    if (!(asks ++ kept ++ bears).exists(isToken)) answer.sendError(401, "Wrong token.")
    else {
      if (asks.isDefined) answer.addHeader("Set-Cookie", s"$cookie=$token; HttpOnly; SameSite=Strict; Path=/")
      chain.doFilter(request, response)
    }
  }

  private def isToken(given: String): Boolean = MessageDigest.isEqual(given.getBytes("UTF-8"), token.getBytes("UTF-8"))
}
